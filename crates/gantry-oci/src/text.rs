//! Other people's text in our messages.

/// The beginning of a text, for a message: enough to recognise it by, never so much that a client could fill a log or an
/// answer with it, and no control characters, which a terminal would obey.
pub(crate) fn excerpt(text: &str, most: usize) -> String {
    let mut letters = text.chars();
    let plain = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    let mut short: String = letters.by_ref().take(most).map(plain).collect();
    if letters.next().is_some() {
        short.push_str("...");
    }
    short
}

/// As many letters of a name, tag, digest or media type as a message shows.
pub(crate) const SHOWN: usize = 128;
