//! Image JSON and ancestries.

use gantry_oci::v1::{ImageId, ImageJson, ImageJsonError, parse_ancestry};

const ID: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const PARENT: &str = "2222222222222222222222222222222222222222222222222222222222222222";

fn id(text: &str) -> ImageId {
    text.parse().unwrap()
}

fn parse(json: impl AsRef<[u8]>) -> Result<Option<ImageId>, ImageJsonError> {
    ImageJson::parse(json.as_ref(), &id(ID)).map(|image| image.parent)
}

#[test]
fn v_3_the_id_and_the_parent_are_read() {
    let json = format!(
        r#"{{"id":"{ID}","created":"2014-05-13T16:53:20Z","container_config":{{"Cmd":["/bin/true"]}}}}"#
    );
    assert_eq!(parse(json + "\n"), Ok(None));
    assert_eq!(parse(format!(r#"{{"id":"{ID}","parent":"{PARENT}","Size":1e400}}"#)), Ok(Some(id(PARENT))));
    for none in ["\"\"", "null"] {
        assert_eq!(parse(format!(r#"{{"parent":{none},"id":"{ID}"}}"#)), Ok(None), "{none}");
    }
    // As Go reads it: the last of duplicates.
    assert_eq!(parse(format!(r#"{{"id":"x","id":"{ID}","parent":"{PARENT}","parent":""}}"#)), Ok(None));
    assert_eq!(parse(format!(r#"{{"id":"{ID}","id":"x"}}"#)), Err(ImageJsonError::OtherId));
    // Escapes are letters, too.
    assert_eq!(parse(format!("{{\"\\u0069d\":\"\\u0031{}\"}}", &ID[1..])), Ok(None));
}

#[test]
fn v_3_what_is_no_image_json_is_refused_with_the_reference_s_texts() {
    let deep = |n: usize| format!(r#"{{"id":"{ID}","x":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    assert_eq!(parse(deep(60)), Ok(None));
    for json in
        ["", " ", "{}", "[]", "\"a\"", "null", "1", "{", &format!("{{\"id\":\"{ID}\"}}x"), &deep(100_000)]
    {
        assert_eq!(parse(json), Err(ImageJsonError::Invalid), "{}", &json[..json.len().min(80)]);
    }
    assert_eq!(parse(b"{\"id\":\"\xff\"}"), Err(ImageJsonError::Invalid));
    let many: String = (0..5000).map(|n| format!(",\"{n}\":0")).collect();
    assert_eq!(parse(format!("{{\"id\":\"{ID}\"{many}}}")), Err(ImageJsonError::Invalid));
    assert_eq!(parse(r#"{"ID":"x"}"#), Err(ImageJsonError::NoId));
    for other in ["null", "1", "\"\"", &format!("\"{PARENT}\""), &format!("[\"{ID}\"]"), "\"\\ud800\""] {
        assert_eq!(parse(format!("{{\"id\":{other}}}")), Err(ImageJsonError::OtherId), "{other}");
    }
    for parent in ["1", "\"x\"", "[]", &format!("\"{ID}\"")] {
        let json = format!(r#"{{"id":"{ID}","parent":{parent}}}"#);
        assert_eq!(parse(json), Err(ImageJsonError::Parent), "{parent}");
    }
    for (error, text) in [
        (ImageJsonError::Invalid, "Invalid JSON"),
        (ImageJsonError::NoId, "Missing key `id' in JSON"),
        (ImageJsonError::OtherId, "JSON data contains invalid id"),
        (ImageJsonError::Parent, "Image depends on a non existing parent"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn v_8_an_ancestry_begins_with_the_image_and_ends() {
    let ancestry = |json: &str| parse_ancestry(json.as_bytes(), &id(ID), 2);
    assert_eq!(ancestry(&format!("[\"{ID}\"]\n")), Some(vec![id(ID)]));
    assert_eq!(ancestry(&format!("[\"{ID}\", \"{PARENT}\"]")), Some(vec![id(ID), id(PARENT)]));
    let third = "3".repeat(64);
    for json in [
        "",
        "[]",
        "{}",
        "null",
        "[1]",
        "[\"\"]",
        &format!("[\"{PARENT}\",\"{ID}\"]"),
        &format!("[\"{ID}\",\"{ID}\"]"),
        &format!("[\"{ID}\",\"{PARENT}\",\"{third}\"]"),
        &format!("[\"{ID}\"]]"),
        &format!("[\"{ID}\""),
        &format!("[\"{ID}\",\"{}\"]", PARENT.replace('2', "A")),
        &"[".repeat(100_000),
    ] {
        assert_eq!(ancestry(json), None, "{}", &json[..json.len().min(80)]);
    }
}
