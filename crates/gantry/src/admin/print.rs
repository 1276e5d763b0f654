//! Tables and lists of properties, for people and for `awk`.

use serde_json::Value;

/// Text that came from elsewhere, on one line and without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        // Among them those that turn the direction of writing.
        let obeyed =
            letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if obeyed {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// A value as a cell: `-` where there is nothing, lists with commas.
pub(super) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Number(number) => number.to_string(),
        Value::Object(_) => plain(&value.to_string()),
    };
    if text.is_empty() { "-".to_owned() } else { text }
}

/// A number of bytes as a cell.
pub(super) fn bytes(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), crate::verify::size)
}

/// The rows of a list in an answer.
pub(super) fn rows<'a>(answer: &'a Value, noun: &str) -> &'a [Value] {
    answer[noun].as_array().map_or(&[], Vec::as_slice)
}

/// Columns two blanks apart, under their names.
pub(super) fn table(names: &[&str], rows: &[Vec<String>]) -> String {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let lines = || std::iter::once(&names).chain(rows);
    let width =
        |column: usize| lines().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..names.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in lines() {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// One property a line.
pub(super) fn properties(of: &[(&str, String)]) -> String {
    let width = of.iter().map(|(name, _)| name.len() + 2).max().unwrap_or(0);
    of.iter().map(|(name, value)| format!("{:width$}{value}\n", format!("{name}:"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_end_where_the_text_ends() {
        let rows = [vec!["müller".to_owned(), "-".to_owned()], vec!["al".to_owned(), "ops,dev".to_owned()]];
        assert_eq!(table(&["NAME", "GROUPS"], &rows), "NAME    GROUPS\nmüller  -\nal      ops,dev\n");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\nc\\u{202e}d");
        assert_eq!(cell(&serde_json::json!(["a\tb", "c"])), "a\\tb,c");
        assert_eq!(cell(&Value::Null), "-");
    }
}
