//! Names that come from elsewhere (a directory, a certificate), held to what a name may be here.

/// The longest name, in bytes.
pub(super) const LONGEST: usize = 255;

/// Whether this can be somebody's name (N-1): something to see in each character, nothing that means something in a rule, a
/// list or a page.
pub(super) fn fits(name: &str) -> bool {
    let says_more = |letter: char| matches!(letter, ':' | '*' | '<' | '>' | '&' | '"' | '\'' | '`');
    !name.is_empty()
        && name.len() <= LONGEST
        && !name.chars().any(|letter| letter.is_whitespace() || is_invisible(letter) || says_more(letter))
}

/// Control characters, and those that are there without being seen: two names that look the same must be the same.
pub(super) fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_something_to_see_in_each_character() {
        for good in
            ["alice", "Ann.O'Neil".replace('\'', "").as_str(), "a@example.com", "jörg", "名前", "svc-1_x"]
        {
            assert!(fits(good), "{good}");
        }
        for bad in
            ["", " ", "a b", "a:b", "a\0", "a\n", "<b>", "a*", "a\u{200b}", "a\u{ad}b", &"x".repeat(256)]
        {
            assert!(!fits(bad), "{bad:?}");
        }
    }
}
