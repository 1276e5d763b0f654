//! Hostile manifests in bounded memory. A process of its own, since what is measured is the peak of the process.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

use gantry_oci::{Manifest, ManifestRules};

/// What servers take by default, in bytes (G-12).
const LIMIT: usize = 4 * 1024 * 1024;
/// A 5 written here forgets the peak so far.
const CLEAR: &str = "/proc/self/clear_refs";

/// A line of this process's memory figures, in bytes.
fn memory(line: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let value = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    value.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// How much more memory became resident than there was before, at the most.
fn growth(work: impl FnOnce()) -> usize {
    // Forgets the peak so far, which is that of drawing up the input.
    std::fs::write(CLEAR, "5").unwrap();
    let before = memory("VmRSS:");
    work();
    memory("VmHWM:").saturating_sub(before)
}

/// A body of the usual limit, of `piece` after `piece`.
fn body(before: &str, piece: &str, after: &str) -> String {
    let count = (LIMIT - before.len() - after.len()) / piece.len();
    format!("{before}{}{after}", piece.repeat(count))
}

#[test]
fn no_manifest_becomes_much_more_than_its_size() {
    let head = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#;
    let digest = gantry_oci::Digest::sha256(b"");
    let good = format!(r#"{{"mediaType":"","digest":"{digest}","size":0}}"#);
    let tail = format!(r#"[]],"config":{good},"layers":[]}}"#);
    let keys: String = (0..350_000).map(|n| format!("\"{n:x}\":\"\",")).collect();
    let cases = [
        ("arrays in an unknown field", body(&format!("{head}\"x\":["), "[],", &tail), true),
        ("objects in an unknown field", body(&format!("{head}\"x\":["), "{},", &tail), true),
        ("empty descriptors", body(&format!("{head}\"layers\":["), "{},", ""), false),
        ("arrays for descriptors", body(&format!("{head}\"layers\":["), "[],", ""), false),
        (
            "small descriptors",
            body(
                &format!("{head}\"config\":{good},\"layers\":["),
                &format!("{good},"),
                &format!("{good}]}}"),
            ),
            true,
        ),
        (
            "the same key",
            body(&format!("{head}\"config\":{good},"), "\"layers\":[],", "\"layers\":[]}"),
            true,
        ),
        ("empty urls", body(&format!("{head}\"config\":{{\"urls\":["), "\"\",", "\"\"]}}"), false),
        (
            "annotations",
            format!("{head}\"config\":{good},\"layers\":[],\"annotations\":{{{keys}\"\":\"\"}}}}"),
            true,
        ),
        ("brackets", body("", "[", ""), false),
        ("one string", body("\"", "x", "\""), false),
        ("blanks", body("", " ", ""), false),
    ];
    if std::fs::write(CLEAR, "5").is_err() {
        println!("skipped: this kernel does not forget peaks of memory");
        return;
    }
    for (what, text, accepted) in &cases {
        assert!(text.len() <= LIMIT, "{what}");
        let more = growth(|| {
            let manifest = Manifest::parse(None, text.as_bytes(), &ManifestRules::default());
            assert_eq!(manifest.is_ok(), *accepted, "{what}: {:?}", manifest.err());
        });
        println!("{what}: {} KiB", more / 1024);
        assert!(more < 64 * 1024 * 1024, "{what}: {more} bytes");
    }
}
