//! The texts of a directory: filters with places in them, names in entries, and distinguished names (RFC 4514).

use ldap3::SearchEntry;

/// Puts a name for `{}` and a DN for `{dn}`, in one go: what is put in is not looked at again. Both escaped already.
pub(in crate::auth) fn fill(filter: &str, name: &str, dn: &str) -> String {
    let mut filled = String::with_capacity(filter.len() + name.len() + dn.len());
    let mut rest = filter;
    while let Some(at) = rest.find('{') {
        let (before, place) = rest.split_at(at);
        filled.push_str(before);
        let (value, after) = match (place.strip_prefix("{}"), place.strip_prefix("{dn}")) {
            (Some(after), _) => (name, after),
            (_, Some(after)) => (dn, after),
            _ => ("{", &place[1..]),
        };
        filled.push_str(value);
        rest = after;
    }
    filled + rest
}

/// One `(attribute=..{}..)` of a filter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assertion {
    pub(super) attribute: String,
    value: String,
}

/// The assertions of a filter that hold the name. Other kinds of matches (`~=`, `:rule:=`, with `*`) are left out: what they accept
/// is for the directory alone to say, and if there is one, nothing is asked of the entry.
pub(super) fn assertions(filter: &str) -> Vec<Assertion> {
    let mut found = Vec::new();
    for item in filter.split(['(', ')']).filter(|item| item.contains("{}")) {
        match item.split_once('=') {
            Some((attribute, value))
                if attribute.bytes().all(is_of_attribute) && !value.contains(['*', '\\']) =>
            {
                found.push(Assertion { attribute: attribute.to_owned(), value: value.to_owned() });
            }
            _ => return Vec::new(),
        }
    }
    found
}

fn is_of_attribute(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}

impl Assertion {
    /// Whether an entry holds this for the name as it was typed, up to its case.
    pub(super) fn holds(&self, entry: &SearchEntry, name: &str) -> bool {
        let expected = self.value.replace("{}", name).to_lowercase();
        values(entry, &self.attribute).iter().any(|value| value.to_lowercase() == expected)
    }
}

/// The values of an attribute; attributes have no case.
pub(super) fn values<'a>(entry: &'a SearchEntry, attribute: &str) -> &'a [String] {
    let values = entry.attrs.iter().find(|(name, _)| name.eq_ignore_ascii_case(attribute));
    values.map_or(&[], |(_, values)| values)
}

/// The name of an entry: the only value of the attribute, or of several the one that was typed.
pub(super) fn name_in(entry: &SearchEntry, attribute: &str, typed: &str) -> Option<String> {
    match values(entry, attribute) {
        [only] => Some(only.clone()),
        values => {
            let typed = typed.to_lowercase();
            let mut same = values.iter().filter(|value| value.to_lowercase() == typed);
            same.next().filter(|_| same.next().is_none()).cloned()
        }
    }
}

/// The name of a group, by its DN: the part of its first component that has this attribute. `None`: it has none, or it does not lie
/// `below` the place where groups are.
pub(in crate::auth) fn name_of_group(dn: &str, below: Option<&str>, attribute: &str) -> Option<String> {
    let components = parse(dn)?;
    let (first, above) = components.split_first()?;
    if let Some(base) = below {
        let base = parse(base)?;
        let at = above.len().checked_sub(base.len())?;
        if above[at..] != base[..] {
            return None;
        }
    }
    let attribute = attribute.to_lowercase();
    first.iter().find(|part| part.attribute == attribute).map(|part| part.value.clone())
}

/// One `attribute=value` of a DN. Equal up to the case of both.
#[derive(Debug)]
struct Part {
    attribute: String,
    value: String,
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.attribute == other.attribute && self.value.to_lowercase() == other.value.to_lowercase()
    }
}

/// The components of a DN, the entry's own first; each has one part, rarely more.
fn parse(dn: &str) -> Option<Vec<Vec<Part>>> {
    let mut components = Vec::new();
    let mut component = Vec::new();
    let mut rest = dn;
    loop {
        let (attribute, behind) = rest.split_once('=')?;
        let (value, end, after) = value(behind)?;
        let attribute = attribute.trim();
        if attribute.is_empty() || !attribute.bytes().all(is_of_attribute) {
            return None;
        }
        component.push(Part { attribute: attribute.to_lowercase(), value });
        match end {
            Some('+') => {}
            Some(_) => components.push(std::mem::take(&mut component)),
            None => {
                components.push(component);
                return Some(components);
            }
        }
        rest = after;
    }
}

/// A value up to what ends it: its text, that character, and what follows.
fn value(text: &str) -> Option<(String, Option<char>, &str)> {
    let mut bytes = Vec::new();
    // Blanks around a value are no part of it, but escaped ones are.
    let mut kept = 0;
    let text = text.trim_start_matches(' ');
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            ',' | ';' | '+' => {
                bytes.truncate(kept.max(trimmed(&bytes)));
                return Some((String::from_utf8(bytes).ok()?, Some(letter), text.get(at + 1..)?));
            }
            '\\' => {
                let (_, escaped) = letters.next()?;
                if let Some(high) = escaped.to_digit(16) {
                    let low = letters.next()?.1.to_digit(16)?;
                    bytes.push(u8::try_from(high * 16 + low).ok()?);
                } else if " \"#+,;<=>\\".contains(escaped) {
                    bytes.push(u8::try_from(escaped).ok()?);
                } else {
                    return None;
                }
                kept = bytes.len();
            }
            _ => bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes.truncate(kept.max(trimmed(&bytes)));
    Some((String::from_utf8(bytes).ok()?, None, ""))
}

fn trimmed(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(attributes: &[(&str, &[&str])]) -> SearchEntry {
        let attrs = attributes
            .iter()
            .map(|(name, values)| {
                ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
            })
            .collect();
        SearchEntry { dn: "uid=x".to_owned(), attrs, bin_attrs: Default::default() }
    }

    #[test]
    fn what_is_put_in_a_place_is_not_taken_for_a_place() {
        assert_eq!(fill("(uid={})", "alice", ""), "(uid=alice)");
        assert_eq!(fill("(|(member={dn})(memberUid={}))", "a", "cn=a"), "(|(member=cn=a)(memberUid=a))");
        assert_eq!(fill("(a={dn})(b={})", "{dn}", "{}"), "(a={})(b={dn})");
        assert_eq!(fill("(a={x})(b={", "n", "d"), "(a={x})(b={");
    }

    #[test]
    fn the_name_that_was_typed_must_stand_in_the_entry() {
        let either = assertions("(&(objectClass=person)(|(uid={})(mail={}@example.com)))");
        assert_eq!(either.len(), 2);
        let alice = entry(&[("UID", &["alice"]), ("mail", &["ann@example.com"])]);
        let means = |name: &str| either.iter().any(|assertion| assertion.holds(&alice, name));
        assert!(means("alice") && means("ALICE") && means("ann"));
        assert!(!means("al\u{ad}ice") && !means(" alice") && !means("ann@example.com") && !means("{}"));
        for beyond in ["(uid~={})", "(cn:caseExactMatch:={})", "(uid={}*)", "(|(uid={})(cn=*{}))"] {
            assert_eq!(assertions(beyond), [], "{beyond}");
        }
    }

    #[test]
    fn a_name_is_the_only_value_or_the_one_that_was_typed() {
        let name = |values: &[&str], typed: &str| name_in(&entry(&[("uid", values)]), "Uid", typed);
        assert_eq!(name(&["Alice"], "ann@example.com").as_deref(), Some("Alice"));
        assert_eq!(name(&["alice", "ally"], "ALLY").as_deref(), Some("ally"));
        assert_eq!(name(&["alice", "ally"], "ann"), None);
        assert_eq!(name(&["ally", "ALLY"], "ally"), None);
        assert_eq!(name(&[], "alice"), None);
    }

    #[test]
    fn groups_are_named_by_their_own_component() {
        let name = |dn: &str, below: Option<&str>| name_of_group(dn, below, "cn");
        assert_eq!(name("CN=ops,ou=groups,dc=example", None).as_deref(), Some("ops"));
        assert_eq!(name("ou=x+cn=ops , dc=example", None).as_deref(), Some("ops"));
        assert_eq!(name(r"cn=Ops\, EU\2b\c3\bc \ ,dc=example", None).as_deref(), Some("Ops, EU+ü  "));
        assert_eq!(name("uid=alice,cn=ops", None), None);
        for nonsense in ["", "ops", "cn", "=x", r"cn=a\", r"cn=\zz,\", r"cn=a\f", "cn=a,", "cn=a,,dc=b"] {
            assert_eq!(name(nonsense, None), None, "{nonsense}");
        }
        let base = Some("OU=Groups, dc=example");
        assert_eq!(name("cn=ops,ou=groups,dc=Example", base).as_deref(), Some("ops"));
        assert_eq!(name("cn=ops,ou=eu,ou=groups,dc=example", base).as_deref(), Some("ops"));
        assert_eq!(
            name("cn=ops,ou=people,dc=example", base),
            None,
            "a group that users may have made themselves"
        );
        assert_eq!(name(r"cn=ops,ou=x\,ou=groups,dc=example", base), None);
        assert_eq!(name("ou=groups,dc=example", base), None);
    }
}
