/// How many jobs, by queue and state. There are few of both.
#[derive(Clone, Debug, Default)]
pub struct Tally(Vec<(String, String, u64)>);

impl Tally {
    pub fn add(&mut self, queue: &str, state: &str, more: u64) {
        match self.0.iter_mut().find(|(q, s, _)| q == queue && s == state) {
            Some((_, _, count)) => *count += more,
            None => self.0.push((queue.to_owned(), state.to_owned(), more)),
        }
    }

    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(queue, state, count)| self.add(queue, state, count));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.0.iter().map(|(queue, state, count)| (queue.as_str(), state.as_str(), *count))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_adds_up_by_queue_and_state() {
        let mut tally = Tally::default();
        tally.add("money", "completed", 2);
        tally.add("money", "dead", 1);
        let mut other = Tally::default();
        other.add("money", "completed", 3);
        tally.merge(&other);
        assert_eq!(tally.iter().collect::<Vec<_>>(), [("money", "completed", 5), ("money", "dead", 1)]);
    }
}
