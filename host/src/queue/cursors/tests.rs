use super::*;

const FREE: fn(i16) -> (u32, u32) = |_| (u32::MAX, 1);

fn ready(priority: i16, lane: i16, ord: i64) -> Ready {
    Ready { queue: "q".to_owned(), priority, lane, ord }
}

fn places(looks: &[Look]) -> Vec<(i16, i16, i64, i32)> {
    looks.iter().map(|look| (look.priority, look.lane, look.cursor, look.most)).collect()
}

#[test]
fn a_claim_looks_where_there_is_news_highest_priority_first() {
    let cursors = Cursors::default();
    cursors.mark(&ready(5, 3, 10));
    cursors.mark(&ready(10, 0, 12));
    cursors.mark(&ready(5, 0, 11));
    let looks = cursors.plan("q", 200, FREE);
    assert_eq!(places(&looks), [(10, 0, 0, 200), (5, 0, 0, 100), (5, 3, 0, 100)]);
    assert_eq!(cursors.due(), Vec::<String>::new());
    let found = [1, 1, 100].map(|jobs| Found { jobs, last: 50 });
    cursors.took("q", 200, &looks, Some(&found), Duration::ZERO);
    // Only the lane that gave all it was asked for.
    assert_eq!(places(&cursors.plan("q", 200, FREE)), [(5, 3, 50, 200)]);
}

#[test]
fn news_during_a_claim_is_not_lost() {
    let cursors = Cursors::default();
    cursors.mark(&ready(5, 0, 10));
    let looks = cursors.plan("q", 10, FREE);
    cursors.mark(&ready(5, 0, 7));
    cursors.took("q", 10, &looks, Some(&[Found { jobs: 1, last: 10 }]), Duration::ZERO);
    assert_eq!(places(&cursors.plan("q", 10, FREE)), [(5, 0, 6, 10)]);
}

#[test]
fn a_sequence_that_went_back_hides_nothing_after_a_look_from_the_front() {
    let cursors = Cursors::default();
    let long_ago = Instant::now().checked_sub(LATE).expect("the machine is up for longer");
    cursors.heads.lock().expect("sound").push_back((long_ago, 1000));
    let claim = |ord| {
        cursors.mark(&ready(5, 0, ord));
        let looks = cursors.plan("q", 10, FREE);
        cursors.took("q", 10, &looks, Some(&[Found { jobs: 1, last: ord }]), Duration::ZERO);
        cursors.all(&["q".to_owned()]).into_iter().map(|at| at.ord).max()
    };
    assert_eq!(claim(900), Some(1000));
    cursors.from_the_front();
    cursors.plan("q", 10, FREE);
    assert_eq!(claim(901), Some(901));
}

#[test]
fn what_is_left_to_others_is_walked_over_once_and_found_by_a_look_from_the_front() {
    let cursors = Cursors::default();
    let long_ago = Instant::now().checked_sub(LATE).expect("the machine is up for longer");
    cursors.heads.lock().expect("sound").push_back((long_ago, 1000));
    let looks_at = |cursors: &Cursors| cursors.plan("q", 10, FREE).first().map(|look| look.cursor);
    cursors.mark(&ready(5, 0, 10));
    let looks = cursors.plan("q", 10, FREE);
    cursors.took("q", 10, &looks, Some(&[Found::default()]), Duration::ZERO);
    cursors.mark(&ready(5, 0, 1001));
    assert_eq!(looks_at(&cursors), Some(0), "a paused queue hides nothing");
    cursors.pass("q", &looks);
    cursors.mark(&ready(5, 0, 1002));
    assert_eq!(looks_at(&cursors), Some(1000));
    cursors.from_the_front();
    assert_eq!(looks_at(&cursors), Some(0));
}

#[test]
fn what_a_full_batch_did_not_reach_stays_due() {
    let cursors = Cursors::default();
    cursors.mark(&ready(10, 0, 1));
    cursors.mark(&ready(1, 0, 2));
    let looks = cursors.plan("q", 5, FREE);
    cursors.took("q", 5, &looks, Some(&[Found { jobs: 5, last: 9 }, Found::default()]), Duration::ZERO);
    assert_eq!(places(&cursors.plan("q", 5, FREE)), [(10, 0, 9, 5), (1, 0, 0, 5)]);
    let looks = cursors.plan("q", 5, FREE);
    cursors.took("q", 5, &looks, None, Duration::ZERO);
    assert_eq!(cursors.due(), Vec::<String>::new(), "nothing was due any more");
}

#[test]
fn a_low_priority_goes_first_in_one_claim_of_eight() {
    let cursors = Cursors::default();
    let mut first = 0;
    for _ in 0..80 {
        cursors.mark(&ready(10, 0, 1));
        cursors.mark(&ready(1, 0, 1));
        first += i32::from(cursors.plan("q", 5, FREE)[0].priority == 1);
    }
    assert_eq!(first, 10);
}

#[test]
fn lanes_share_by_weight_and_one_at_its_limit_is_left_out_but_stays_due() {
    let cursors = Cursors::default();
    for lane in [1, 2, 3] {
        cursors.mark(&ready(5, lane, 1));
    }
    let mut looks =
        places(&cursors.plan("q", 100, |lane| (if lane == 3 { 0 } else { 90 }, if lane == 2 { 3 } else { 1 })));
    looks.sort_unstable();
    assert_eq!(looks, [(5, 1, 0, 25), (5, 2, 0, 75)]);
    assert_eq!(cursors.due(), ["q"]);
}

#[test]
fn the_second_look_goes_back_and_a_restart_goes_on() {
    let cursors = Cursors::default();
    cursors.mark(&ready(5, 0, 10));
    let looks = cursors.plan("q", 10, FREE);
    cursors.took("q", 10, &looks, Some(&[Found { jobs: 10, last: 100 }]), Duration::ZERO);
    assert!(cursors.second_look().is_empty() && cursors.second_look().is_empty());
    let looks = cursors.plan("q", 10, FREE);
    cursors.took("q", 10, &looks, Some(&[Found { jobs: 10, last: 200 }]), Duration::ZERO);
    assert_eq!(cursors.second_look(), ["q"]);
    let again = cursors.plan("q", 10, FREE).into_iter().find(|look| look.priority == 5 && look.lane == 0);
    assert_eq!(again.map(|look| look.cursor), Some(100));

    let restarted = Cursors::default();
    restarted.restore(&[ready(5, 0, 100)]);
    restarted.mark_all("q");
    assert!(restarted.plan("q", 10, FREE).iter().any(|look| look.cursor == 100));
}
