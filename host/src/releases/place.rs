use toml::de::{DeTable, DeValue};

/// The line of a key in a manifest, counted from 1; a step into an array of tables is its index. Where the key itself is
/// not there, the line of the deepest part that is.
pub fn line_of(manifest: &str, path: &[&str]) -> Option<usize> {
    let table = DeTable::parse(manifest).ok()?;
    let mut at = None;
    let mut value: Option<&DeValue<'_>> = None;
    for step in path {
        let next = match value {
            None => table.get_ref().get_key_value(*step),
            Some(DeValue::Table(inner)) => inner.get_key_value(*step),
            Some(DeValue::Array(items)) => {
                let Some(item) = step.parse::<usize>().ok().and_then(|n| items.get(n)) else { break };
                at = Some(item.span().start);
                value = Some(item.get_ref());
                continue;
            }
            Some(_) => None,
        };
        let Some((key, found)) = next else { break };
        at = Some(key.span().start);
        value = Some(found.get_ref());
    }
    at.map(|at| line_at(manifest, at))
}

/// The line of a place in a text, counted from 1.
pub fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[plugin]\nname = \"p\"\n[grants]\njobs = [\"a\"]\n\n[[job]]\ntype = \"x\"\n[[job]]\ntype = \"y\"\nqueue = \"q\"\nlimits = { memory = 1 }\n";

    #[test]
    fn keys_have_lines() {
        for (path, line) in [
            (&["plugin", "name"][..], 2),
            (&["grants", "jobs"], 4),
            (&["job", "1", "queue"], 10),
            (&["job", "1", "limits", "memory"], 11),
            (&["plugin", "version"], 1),
        ] {
            assert_eq!(line_of(MANIFEST, path), Some(line), "{path:?}");
        }
        assert_eq!(line_of(MANIFEST, &["nowhere"]), None);
        assert_eq!(line_of("[plugin", &["plugin"]), None);
        assert_eq!(line_at("a\nb", 2), 2);
    }
}
