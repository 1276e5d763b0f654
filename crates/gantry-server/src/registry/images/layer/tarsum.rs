//! `TarSum`: the checksum that clients before Docker 0.10 relied on, over the files of a layer rather than its bytes.

use std::collections::HashMap;
use std::io::{self, Read};

use gantry_oci::v1::{ImageId, TarSum, TarSumVersion};
use sha2::{Digest as _, Sha256};

use super::members::{Member, Members};
use super::unpack::unpack;

/// More members than this are not summed: a few MiB of a compressed tar must not take hundreds of them in memory.
const MEMBERS_MAX: usize = 1 << 18;
/// So few are put in order as the clients' own library did, where its order depends on how it sorts.
const FEW: usize = 12;

/// Whether a layer has this sum, with the JSON of its image, by the rules of some client.
///
/// # Errors
/// It has none: it is no tar, or too large.
pub(in super::super) fn is_tarsum(layer: impl Read, json: &[u8], expected: &TarSum) -> io::Result<bool> {
    let (_, plain) = unpack(layer)?;
    let sums = member_sums(plain, expected.version)?;
    Ok(of_members(json, &in_order(sums.clone())) == expected.sum
        || of_members(json, &last_of_each(sums)) == expected.sum)
}

/// The sum of a member, and by what its path is known.
#[derive(Clone)]
struct Sum {
    sum: [u8; 32],
    path: [u8; 32],
}

fn member_sums(plain: impl Read, version: TarSumVersion) -> io::Result<Vec<Sum>> {
    let mut members = Members::new(plain);
    let mut sums = Vec::new();
    while let Some(member) = members.next()? {
        if sums.len() == MEMBERS_MAX {
            return Err(io::Error::other("it has too many members"));
        }
        let mut hash = Sha256::new_with_prefix(fields(&member, version));
        let mut buffer = [0; 8 << 10];
        loop {
            match members.read(&mut buffer)? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        let path = member.name.strip_prefix(b"./").unwrap_or(&member.name);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        sums.push(Sum { sum: hash.finalize().into(), path: Sha256::digest(path).into() });
    }
    Ok(sums)
}

/// What is summed of a header.
fn fields(member: &Member, version: TarSumVersion) -> Vec<u8> {
    let mut text = Vec::with_capacity(256);
    let mut field = |key: &[u8], value: &[u8]| {
        text.extend_from_slice(key);
        text.extend_from_slice(value);
    };
    field(b"name", &member.name);
    field(b"mode", member.mode.to_string().as_bytes());
    field(b"uid", member.uid.to_string().as_bytes());
    field(b"gid", member.gid.to_string().as_bytes());
    field(b"size", member.size.to_string().as_bytes());
    if version == TarSumVersion::V0 {
        field(b"mtime", member.mtime.to_string().as_bytes());
    }
    field(b"typeflag", &[member.kind.0]);
    field(b"linkname", &member.link);
    field(b"uname", &member.user);
    field(b"gname", &member.group);
    field(b"devmajor", member.major.to_string().as_bytes());
    field(b"devminor", member.minor.to_string().as_bytes());
    if version != TarSumVersion::V0 {
        for (key, value) in &member.attributes {
            field(key, value);
        }
    }
    text
}

fn of_members(json: &[u8], sums: &[Sum]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(json);
    for sum in sums {
        hash.update(hex(&sum.sum));
    }
    hash.finalize().into()
}

fn hex(sum: &[u8; 32]) -> String {
    ImageId::from_bytes(*sum).to_string()
}

/// By their sums, but those of one path as they stand in the archive (Docker 1.3 and later). Taken together that is no order; where
/// the result depends on how one sorts, few are sorted as the clients did, and of many each path's keep the places that its sums have.
fn in_order(mut sums: Vec<Sum>) -> Vec<Sum> {
    let mut places: HashMap<[u8; 32], usize> = HashMap::new();
    for sum in &sums {
        *places.entry(sum.path).or_default() += 1;
    }
    if sums.len() <= FEW && places.values().any(|count| *count > 1) {
        let mut order: Vec<usize> = (0..sums.len()).collect();
        let less = |a: usize, b: usize| {
            if sums[a].path == sums[b].path { a < b } else { sums[a].sum < sums[b].sum }
        };
        for end in 1..order.len() {
            let mut at = end;
            while at > 0 && less(order[at], order[at - 1]) {
                order.swap(at, at - 1);
                at -= 1;
            }
        }
        return order.into_iter().map(|at| sums[at].clone()).collect();
    }
    let mut in_archive: HashMap<[u8; 32], Vec<[u8; 32]>> = HashMap::new();
    for sum in sums.iter().rev().filter(|sum| places.get(&sum.path).is_some_and(|count| *count > 1)) {
        in_archive.entry(sum.path).or_default().push(sum.sum);
    }
    sums.sort_unstable_by_key(|sum| sum.sum);
    for sum in &mut sums {
        if let Some(next) = in_archive.get_mut(&sum.path).and_then(Vec::pop) {
            sum.sum = next;
        }
    }
    sums
}

/// By their sums, of each path only the last (Docker 1.2 and before).
fn last_of_each(sums: Vec<Sum>) -> Vec<Sum> {
    let last: HashMap<[u8; 32], [u8; 32]> = sums.into_iter().map(|sum| (sum.path, sum.sum)).collect();
    let mut sums: Vec<Sum> = last.into_iter().map(|(path, sum)| Sum { sum, path }).collect();
    sums.sort_unstable_by_key(|sum| sum.sum);
    sums
}

#[cfg(test)]
mod tests {
    use super::super::members::tests::{END, file, ustar, vector};
    use super::*;

    fn sum(version: TarSumVersion, hex: &str) -> TarSum {
        TarSum { version, sum: *hex.parse::<ImageId>().unwrap().bytes() }
    }

    fn json() -> Vec<u8> {
        let id = "11".repeat(32);
        let rest = r#""created":"2014-05-13T16:53:20Z","container_config":{"Cmd":["/bin/true"]}}"#;
        format!(r#"{{"id":"{id}",{rest}"#).into_bytes()
    }

    fn gzip(tar: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        to.write_all(tar).unwrap();
        to.finish().unwrap()
    }

    #[test]
    fn the_sums_of_the_documents_come_out() {
        use TarSumVersion::{Dev, V0, V1};
        let (tar, json) = (vector(), json());
        let with_0 = sum(V0, "6dd0fc88f9847b6291a3482d585699547cf36f63fd5d99c436012861a7fe82ca");
        let without_0 = sum(V0, "4495b707d7f10ab58139bdfd2b9282974dc72dd4eddcd38de161d79e9306e020");
        for layer in [&tar[..], &tar[..tar.len() - 1024], &gzip(&tar)] {
            assert!(is_tarsum(layer, &json, &with_0).unwrap());
            assert!(is_tarsum(layer, b"", &without_0).unwrap());
            assert!(!is_tarsum(layer, &json, &without_0).unwrap());
            for version in [V1, Dev] {
                let with = sum(version, "6bfeae0590442ccd447249ee1dfe6216732fca634c085daed2e7a82524d42836");
                let without =
                    sum(version, "3be3f865df0813c17dc70ba53fbbcb92a3853fb5530dc1fc5a0c841b48075e3a");
                assert!(is_tarsum(layer, &json, &with).unwrap());
                assert!(is_tarsum(layer, b"", &without).unwrap());
            }
        }
        for (json, hash) in [(&b""[..], Sha256::digest(b"")), (&json, Sha256::digest(&json))] {
            assert!(is_tarsum(&END[..], json, &TarSum { version: V0, sum: hash.into() }).unwrap());
        }
    }

    #[test]
    fn the_sums_of_single_members_come_out() {
        let sums = member_sums(&vector()[..], TarSumVersion::V0).unwrap();
        let sums: Vec<_> = sums.iter().map(|sum| hex(&sum.sum)).collect();
        assert_eq!(
            sums,
            [
                "5047d2fe0895cf8d5f21ae78dc500dc772e5d94325bdca0e5b8dd39b660da8c8",
                "3a9a55bd2750b2b135face17fdfc8faf779972f4a37dafb67cdfae16700168e1",
                "4699e4206d22524ec27edbf53fb38e4b9838477a5d3906967a594ce3e763b217",
                "32b3ee926e22b1d0b55016403bfa1899bd139507a9dbcab149f82b172fb6f7d5",
            ]
        );
    }

    #[test]
    fn of_two_members_with_one_path_both_rules_are_known() {
        let (one, two) = (file("a", b"one"), file("./a", b"two!"));
        let expected = |hex| sum(TarSumVersion::V0, hex);
        let tar = [&one[..], &two, &END].concat();
        for hex in [
            "009391a3e93e1bd89abca2628d6cb6c7bba055787afed2f37681f9a90f80025b",
            "23f65240f935c897a902a12aad32de399293e1cbbb1dc96539749bc52b8f5bd2",
        ] {
            assert!(is_tarsum(&tar[..], b"", &expected(hex)).unwrap());
        }
        let swapped = [&two[..], &one, &END].concat();
        let hex = "aa9df3ca8ece741f87f54d5a80ad54808911c998f7c11839204168918d7dee6b";
        assert!(is_tarsum(&swapped[..], b"", &expected(hex)).unwrap());
        assert!(!is_tarsum(&tar[..], b"", &expected(hex)).unwrap());
    }

    #[test]
    fn many_members_with_one_path_have_a_sum_too() {
        let tar: Vec<u8> =
            (0..40_u8).flat_map(|n| file(if n % 3 == 0 { "same" } else { "b" }, &[n])).collect();
        let sums = in_order(member_sums(&tar[..], TarSumVersion::V0).unwrap());
        assert_eq!(sums.len(), 40);
        let expected = TarSum { version: TarSumVersion::V0, sum: of_members(b"", &sums) };
        assert!(is_tarsum(&tar[..], b"", &expected).unwrap());
    }

    #[test]
    fn what_is_no_tar_has_no_sum() {
        let expected = sum(TarSumVersion::V0, &"00".repeat(32));
        is_tarsum(&b"no tar"[..], b"", &expected).unwrap_err();
        is_tarsum(&[0x1f, 0x8b, 8, 0][..], b"", &expected).unwrap_err();
    }

    #[test]
    fn broken_headers_are_failures_and_no_more() {
        let whole =
            [file("./a", b"one"), ustar("x", b"12 path=bcd\n", b'x', 0, ""), file("b", b"two")].concat();
        let expected = sum(TarSumVersion::V1, &"00".repeat(32));
        for at in 0..whole.len() {
            for byte in [0, b'7', 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[at] = byte;
                // Sums that are right again let more through.
                for start in [0, 1024, 2048] {
                    broken[start + 148..start + 156].copy_from_slice(&[b' '; 8]);
                    let sum: u32 = broken[start..start + 512].iter().map(|byte| u32::from(*byte)).sum();
                    broken[start + 148..start + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                }
                let _ = is_tarsum(&broken[..], b"", &expected);
            }
        }
    }
}
