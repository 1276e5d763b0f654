//! Ranges of downloads and of uploads.

use gantry_oci::RangeOutcome::{Full, Many, One, TooMany, Unsatisfiable};
use gantry_oci::{
    BlobContentRange, ByteRange, ContentRange, ContentRangeError, MAX_RANGES, UploadRange, parse_range,
};

fn bytes(start: u64, end: u64) -> ByteRange {
    ByteRange { start, end }
}

#[test]
fn e2_5_the_six_cases_of_conformance() {
    for (header, outcome) in [
        ("bytes=500-1499", One(bytes(500, 1499))),
        ("bytes=500-", One(bytes(500, 2047))),
        ("bytes=-500", One(bytes(1548, 2047))),
        ("bytes=2000-5000", One(bytes(2000, 2047))),
        ("bytes=5000-10000", Unsatisfiable),
        ("bytes=500-0", Unsatisfiable),
    ] {
        assert_eq!(parse_range(header, 2048), outcome, "{header}");
    }
    assert_eq!(bytes(500, 1499).len(), 1000);
}

#[test]
fn t46_at_the_edges() {
    for (header, size, outcome) in [
        ("bytes=0-0", 1, One(bytes(0, 0))),
        ("bytes=0-", 1, One(bytes(0, 0))),
        ("bytes=-1", 1, One(bytes(0, 0))),
        // the end that regclient writes is the length.
        ("bytes=10-100", 100, One(bytes(10, 99))),
        ("bytes=100-", 100, Unsatisfiable),
        ("bytes=99-", 100, One(bytes(99, 99))),
        ("bytes=-1000", 100, One(bytes(0, 99))),
        ("bytes=-0", 100, Unsatisfiable),
        ("bytes=0-", 0, Unsatisfiable),
        ("bytes=0-0", 0, Unsatisfiable),
        ("bytes=-1", 0, Unsatisfiable),
        // Numbers that do not fit mean "to the end", or "behind it".
        ("bytes=1-99999999999999999999999999", 100, One(bytes(1, 99))),
        ("bytes=-99999999999999999999999999", 100, One(bytes(0, 99))),
        ("bytes=99999999999999999999999999-", 100, Unsatisfiable),
        ("bytes=18446744073709551615-18446744073709551615", u64::MAX, Unsatisfiable),
        ("bytes=0-18446744073709551615", u64::MAX, One(bytes(0, u64::MAX - 1))),
    ] {
        assert_eq!(parse_range(header, size), outcome, "{header} of {size}");
    }
}

#[test]
fn x3_5_what_is_not_understood_is_ignored() {
    for header in [
        "",
        "bytes",
        "bytes=",
        "bytes= ",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=1-+2",
        "bytes=1 - 2",
        "bytes=--1",
        "bytes=0x1-2",
        "bytes 1-2",
        "items=1-2",
        "=1-2",
        "bytes=1-2;3-4",
        "bytes=é-",
        "bytes==1-2",
        "bytes=1-2,x",
        "bytes=x,1-2",
    ] {
        assert_eq!(parse_range(header, 100), Full, "{header:?}");
        assert_eq!(parse_range(header, 0), Full, "{header:?} of nothing");
    }
    for header in ["BYTES=1-2", "bytes =1-2", "bytes= 1-2 ", "bytes=,1-2,", "bytes=1-2, ,"] {
        assert_eq!(parse_range(header, 100), One(bytes(1, 2)), "{header:?}");
    }
}

#[test]
fn x3_4_several_ranges_keep_their_number_and_order() {
    for (header, outcome) in [
        ("bytes=0-1,4-5", Many(vec![bytes(0, 1), bytes(4, 5)])),
        ("bytes=50-59, 0-9,\t-10", Many(vec![bytes(50, 59), bytes(0, 9), bytes(90, 99)])),
        // Neighbours are not merged, nor are those that overlap.
        ("bytes=0-9,10-19", Many(vec![bytes(0, 9), bytes(10, 19)])),
        ("bytes=0-9,0-9", Many(vec![bytes(0, 9), bytes(0, 9)])),
        ("bytes=0-49,50-", Many(vec![bytes(0, 49), bytes(50, 99)])),
        // More than there is.
        ("bytes=0-50,50-", Full),
        ("bytes=0-,0-", Full),
        // One that cannot be served would be missing among the parts.
        ("bytes=0-1,100-", Full),
        ("bytes=0-1,5-4", Full),
        ("bytes=100-,200-", Unsatisfiable),
        ("bytes=-0,5-4", Unsatisfiable),
    ] {
        assert_eq!(parse_range(header, 100), outcome, "{header}");
    }
}

#[test]
fn t47_a_thousand_ranges_and_the_cap() {
    let header = |count: usize| {
        let ranges = (0..count).map(|n| format!("{}-{}", n * 2_000_000, n * 2_000_000 + 1));
        format!("bytes={}", ranges.collect::<Vec<_>>().join(","))
    };
    let size = 100_000_000_000;
    for count in [2, 1024, MAX_RANGES] {
        let Many(ranges) = parse_range(&header(count), size) else { panic!("{count}") };
        assert_eq!(ranges.len(), count);
        assert!(ranges.is_sorted_by_key(|range| range.start));
    }
    assert!(header(1024).len() > 20_000);
    assert_eq!(parse_range(&header(MAX_RANGES + 1), size), TooMany);
    assert_eq!(parse_range(&format!("bytes={}", "0-0,".repeat(1_000_000)), size), TooMany);
    assert_eq!(parse_range(&format!("bytes={}", ",".repeat(1_000_000)), size), Full);
}

#[test]
fn e7_2_content_range_of_a_piece() {
    use ContentRangeError::{Inverted, Malformed};
    let good = |start, end| Ok(ContentRange { start, end });
    for (header, outcome) in [
        ("0-0", good(0, 0)),
        ("0-1023", good(0, 1023)),
        ("1024-2047", good(1024, 2047)),
        ("0-18446744073709551615", good(0, u64::MAX)),
        // Tolerated.
        ("bytes 0-1023", good(0, 1023)),
        ("bytes 0-1023/2048", good(0, 1023)),
        ("bytes 0-1023/*", good(0, 1023)),
        // E-7.7
        ("1-0", Err(Inverted)),
        ("bytes 1-0/5", Err(Inverted)),
        // G-6: what does not fit is refused, not cut off.
        ("0-18446744073709551616", Err(Malformed)),
        ("", Err(Malformed)),
        ("-", Err(Malformed)),
        ("0-", Err(Malformed)),
        ("-5", Err(Malformed)),
        ("0--1", Err(Malformed)),
        ("+0-1", Err(Malformed)),
        ("0-1-2", Err(Malformed)),
        ("0 - 1", Err(Malformed)),
        ("0-1/2", Err(Malformed)),
        ("bytes=0-1", Err(Malformed)),
        ("bytes 0-1/x", Err(Malformed)),
        ("bytes 0-1/", Err(Malformed)),
        ("bytes */5", Err(Malformed)),
    ] {
        assert_eq!(header.parse::<ContentRange>(), outcome, "{header:?}");
    }
    assert_eq!(ContentRange { start: 1024, end: 2047 }.to_string(), "1024-2047");
    assert_eq!(ContentRange { start: 1024, end: 2047 }.len(), 1024);
    assert_eq!(ContentRange { start: 0, end: u64::MAX }.len(), u64::MAX, "one byte off, and no overflow");
}

#[test]
fn content_range_of_a_download() {
    let range = BlobContentRange { range: bytes(500, 1499), size: 2048 };
    assert_eq!(range.to_string(), "bytes 500-1499/2048");
    assert_eq!("bytes 500-1499/2048".parse(), Ok(range));
    assert_eq!(BlobContentRange::unsatisfied(2048), "bytes */2048");
    for bad in [
        "",
        "500-1499/2048",
        "bytes 500-1499",
        "bytes 500-1499/*",
        "bytes */2048",
        "bytes 0-5/5",
        "bytes 2-1/5",
    ] {
        assert!(bad.parse::<BlobContentRange>().is_err(), "{bad:?}");
    }
}

#[test]
fn x4_range_of_an_upload() {
    // T9: no unit, the last byte of the whole, and never an end before the start.
    for (held, text) in
        [(0, "0-0"), (1, "0-0"), (2, "0-1"), (1024, "0-1023"), (u64::MAX, "0-18446744073709551614")]
    {
        assert_eq!(UploadRange(held).to_string(), text);
    }
    for (text, held) in [("0-0", 0), ("0-1", 2), ("0-1023", 1024), ("bytes=0-1023", 1024)] {
        assert_eq!(text.parse(), Ok(UploadRange(held)), "{text}");
    }
    for bad in ["", "0", "1-2", "0--1", "0-18446744073709551615", "0-x"] {
        assert!(bad.parse::<UploadRange>().is_err(), "{bad:?}");
    }
}
