//! Reading a tar as the clients of v1 and their registry did.
//!
//! A reader of our own, because checksums are made of what stands in the headers, because layers end without the blocks of zeros that
//! strict readers want, and because a name may not take more memory than a name is worth.

use std::collections::BTreeMap;
use std::io::{self, Read};

const BLOCK: usize = 512;
/// Bytes of the long names and attributes of one member, all that stand before it together.
const EXTRA_MAX: u64 = 1 << 20;

/// What a member is. The byte in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Kind(pub(in super::super) u8);

impl Kind {
    pub(in super::super) fn is_directory(self) -> bool {
        self.0 == b'5'
    }

    /// Whether nothing follows its header, whatever size stands there.
    fn is_header_only(self) -> bool {
        matches!(self.0, b'1'..=b'6')
    }
}

/// One header, with what came before it for its sake.
#[derive(Clone, Debug)]
pub(in super::super) struct Member {
    /// As it stands in the archive.
    pub(in super::super) name: Vec<u8>,
    pub(in super::super) link: Vec<u8>,
    pub(in super::super) kind: Kind,
    pub(in super::super) mode: i64,
    pub(in super::super) uid: i64,
    pub(in super::super) gid: i64,
    pub(in super::super) size: u64,
    /// Seconds.
    pub(in super::super) mtime: i64,
    pub(in super::super) user: Vec<u8>,
    pub(in super::super) group: Vec<u8>,
    pub(in super::super) major: i64,
    pub(in super::super) minor: i64,
    /// Extended attributes, without the words before their names.
    pub(in super::super) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The members of a tar, one by one. The content of each can be read before the next is asked for.
pub(in super::super) struct Members<R> {
    from: R,
    /// Of the member's content.
    left: u64,
    /// Behind it.
    padding: u64,
    ended: bool,
}

impl<R: Read> Members<R> {
    pub(in super::super) fn new(from: R) -> Self {
        Self { from, left: 0, padding: 0, ended: false }
    }

    /// The next member; `None` at the end, which may be two blocks of zeros or simply the end.
    ///
    /// # Errors
    /// It is no tar, or the bytes cannot be read.
    pub(in super::super) fn next(&mut self) -> io::Result<Option<Member>> {
        let (mut extra, mut room) = (Extra::default(), EXTRA_MAX);
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let member = read_header(&header)?;
            let length = if member.kind.is_header_only() { 0 } else { member.size };
            match member.kind.0 {
                b'x' | b'L' | b'K' => {
                    (self.left, self.padding) = (length, pad(length));
                    let text = self.text(room)?;
                    room -= length;
                    match member.kind.0 {
                        b'x' => extra.read_records(&text)?,
                        b'L' => extra.name = Some(until_nul(&text).to_vec()),
                        _ => extra.link = Some(until_nul(&text).to_vec()),
                    }
                }
                _ => {
                    // Maps of holes that go on behind the header.
                    let mut more = member.kind.0 == b'S' && header[482] != 0;
                    while more {
                        let block = self.block()?.ok_or(io::ErrorKind::UnexpectedEof)?;
                        more = block[504] != 0;
                    }
                    let member = extra.apply(member)?;
                    let length = if member.kind.is_header_only() { 0 } else { member.size };
                    (self.left, self.padding) = (length, pad(length));
                    return Ok(Some(member));
                }
            }
        }
    }

    fn header(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        if self.ended {
            return Ok(None);
        }
        let block = self.block()?.filter(|block| block.iter().any(|byte| *byte != 0));
        self.ended = block.is_none();
        Ok(block)
    }

    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.from.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(Some(block))
    }

    fn text(&mut self, max: u64) -> io::Result<Vec<u8>> {
        if self.left > max {
            return Err(broken("a name or an attribute is too long"));
        }
        let mut text = Vec::new();
        self.read_to_end(&mut text)?;
        Ok(text)
    }

    /// Goes on behind the content.
    fn skip(&mut self) -> io::Result<()> {
        let mut nowhere = [0; 8 << 10];
        while self.read(&mut nowhere)? > 0 {}
        // The padding of the last member may be missing with the end.
        let padding = self.padding;
        self.padding = 0;
        io::copy(&mut self.from.by_ref().take(padding), &mut io::sink())?;
        Ok(())
    }
}

/// The content of the member.
impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.from.read(&mut buffer[..length])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// What comes before a header for its sake.
#[derive(Default)]
struct Extra {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Extra {
    /// `LENGTH KEY=VALUE\n`, where the length counts all of that.
    fn read_records(&mut self, mut text: &[u8]) -> io::Result<()> {
        let wrong = || broken("a record of attributes");
        while !text.is_empty() {
            let space = text.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
            let length = std::str::from_utf8(&text[..space]).ok().and_then(|digits| digits.parse().ok());
            let length: usize =
                length.filter(|length| *length <= text.len() && *length > space + 1).ok_or_else(wrong)?;
            let record = text[space + 1..length].strip_suffix(b"\n").ok_or_else(wrong)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
            self.records.insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
            text = &text[length..];
        }
        Ok(())
    }

    fn apply(self, mut member: Member) -> io::Result<Member> {
        if let Some(name) = self.name {
            member.name = name;
        }
        if let Some(link) = self.link {
            member.link = link;
        }
        for (key, value) in self.records {
            match &key[..] {
                b"path" => member.name = value,
                b"linkpath" => member.link = value,
                b"uname" => member.user = value,
                b"gname" => member.group = value,
                b"uid" => member.uid = decimal(&value)?,
                b"gid" => member.gid = decimal(&value)?,
                b"size" => member.size = u64::try_from(decimal(&value)?).map_err(|_| broken("a size"))?,
                b"mtime" => member.mtime = seconds(&value)?,
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        member.attributes.insert(name.to_vec(), value);
                    }
                }
            }
        }
        Ok(member)
    }
}

fn read_header(header: &[u8; BLOCK]) -> io::Result<Member> {
    let sums = |signed: bool| -> i64 {
        let value = |byte: u8| if signed { i64::from(byte.cast_signed()) } else { i64::from(byte) };
        header
            .iter()
            .enumerate()
            .map(|(at, byte)| value(if (148..156).contains(&at) { b' ' } else { *byte }))
            .sum()
    };
    let sum = integer(&header[148..156])?;
    if sum != sums(false) && sum != sums(true) {
        return Err(broken("the sum of a header"));
    }
    let kind = Kind(header[156]);
    let mut name = until_nul(&header[..100]).to_vec();
    let (mut user, mut group, mut major, mut minor) = (Vec::new(), Vec::new(), 0, 0);
    let posix = header[257..263] == *b"ustar\0";
    if posix || header[257..265] == *b"ustar  \0" {
        user = until_nul(&header[265..297]).to_vec();
        group = until_nul(&header[297..329]).to_vec();
        if matches!(kind.0, b'3' | b'4') {
            (major, minor) = (integer(&header[329..337])?, integer(&header[337..345])?);
        }
    }
    if posix {
        let star = header[508..512] == *b"tar\0";
        let prefix = until_nul(&header[345..if star { 476 } else { 500 }]);
        if !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
    }
    Ok(Member {
        name,
        link: until_nul(&header[157..257]).to_vec(),
        kind,
        mode: integer(&header[100..108])?,
        uid: integer(&header[108..116])?,
        gid: integer(&header[116..124])?,
        size: u64::try_from(integer(&header[124..136])?).map_err(|_| broken("a size"))?,
        mtime: integer(&header[136..148])?,
        user,
        group,
        major,
        minor,
        attributes: BTreeMap::new(),
    })
}

/// A number in octal digits, or in bytes behind a first one with its highest bit set.
fn integer(field: &[u8]) -> io::Result<i64> {
    let wrong = || broken("a number");
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        // Seven bits, of which the first is the sign.
        let mut value = i128::from(first & 0x7f);
        if first & 0x40 != 0 {
            value -= 0x80;
        }
        for byte in rest {
            value = value.checked_mul(256).ok_or_else(wrong)? | i128::from(*byte);
        }
        return i64::try_from(value).map_err(|_| wrong());
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | 0);
    let mut digits = field.iter().skip_while(|byte| is_space(byte)).take_while(|byte| !is_space(byte));
    digits.try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8).map(|value| value | i64::from(digit - b'0')).ok_or_else(wrong),
        _ => Err(wrong()),
    })
}

fn decimal(text: &[u8]) -> io::Result<i64> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(|| broken("a number"))
}

/// Whole seconds, downwards.
fn seconds(text: &[u8]) -> io::Result<i64> {
    let point = text.iter().position(|byte| *byte == b'.');
    let (whole, part) = text.split_at(point.unwrap_or(text.len()));
    let down = whole.starts_with(b"-") && part.iter().any(|byte| matches!(byte, b'1'..=b'9'));
    Ok(decimal(whole)?.saturating_sub(i64::from(down)))
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn pad(length: u64) -> u64 {
    length.wrapping_neg() % BLOCK as u64
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is broken"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super::super) const END: [u8; 1024] = [0; 1024];

    /// A member as the documents of v1 build theirs.
    pub(in super::super::super) fn ustar(
        name: &str,
        data: &[u8],
        kind: u8,
        mode: u32,
        link: &str,
    ) -> Vec<u8> {
        let mut header = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}\0").as_bytes());
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", data.len()).as_bytes());
        put(136, format!("{:011o}\0", 1_400_000_000).as_bytes());
        put(148, &[b' '; 8]);
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        put(265, b"root");
        put(297, b"root");
        put(329, b"0000000\0");
        put(337, b"0000000\0");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut member = [&header, data].concat();
        member.resize(member.len().next_multiple_of(BLOCK), 0);
        member
    }

    pub(in super::super::super) fn file(name: &str, data: &[u8]) -> Vec<u8> {
        ustar(name, data, b'0', 0o644, "")
    }

    /// The tar of the test vectors.
    pub(in super::super::super) fn vector() -> Vec<u8> {
        [
            ustar("etc/", b"", b'5', 0o755, ""),
            file("etc/hello", b"hello\n"),
            ustar("etc/link", b"", b'2', 0o777, "hello"),
            file("etc/.wh.old", b""),
            END.to_vec(),
        ]
        .concat()
    }

    fn names(tar: &[u8]) -> io::Result<Vec<String>> {
        let mut members = Members::new(tar);
        let mut names = Vec::new();
        while let Some(member) = members.next()? {
            names.push(String::from_utf8_lossy(&member.name).into_owned());
        }
        Ok(names)
    }

    #[test]
    fn members_come_with_and_without_an_end() {
        let tar = vector();
        let all = ["etc/", "etc/hello", "etc/link", "etc/.wh.old"];
        for end in [tar.len(), tar.len() - 512, tar.len() - 1024] {
            assert_eq!(names(&tar[..end]).unwrap(), all);
        }
        assert_eq!(names(&END).unwrap(), [""; 0]);
        assert_eq!(names(b"").unwrap(), [""; 0]);
        names(b"some text").unwrap_err();
        names(&tar[..700]).unwrap_err();
        names(&[b'a'; 2048]).unwrap_err();
    }

    #[test]
    fn long_names_and_attributes_belong_to_the_next_member() {
        let long = "d/".repeat(200);
        let record = b"30 SCHILY.xattr.user.key=value\n";
        let record =
            [&format!("{}", record.len()).into_bytes(), &record[2..], b"18 mtime=-1.25000\n"].concat();
        let tar = [
            ustar("././@LongLink", format!("{long}\0").as_bytes(), b'L', 0, ""),
            ustar("x", &record, b'x', 0, ""),
            file("short", b"1"),
            file("other", b"2"),
        ]
        .concat();
        let mut members = Members::new(&tar[..]);
        let first = members.next().unwrap().unwrap();
        assert_eq!(first.name, long.as_bytes());
        assert_eq!(first.mtime, -2);
        assert_eq!(first.attributes.into_iter().next().unwrap(), (b"user.key".to_vec(), b"value".to_vec()));
        let second = members.next().unwrap().unwrap();
        assert_eq!(
            (&second.name[..], second.mtime, second.attributes.len()),
            (&b"other"[..], 1_400_000_000, 0)
        );
        assert!(members.next().unwrap().is_none());
    }

    #[test]
    fn a_name_is_not_taken_for_more_memory_than_it_is_worth() {
        let mut header = ustar("././@LongLink", b"", b'L', 0, "");
        header[124..136].copy_from_slice(b"77777777777\0");
        header[148..156].copy_from_slice(&[b' '; 8]);
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        names(&header).unwrap_err();
    }

    #[test]
    fn many_headers_before_one_member_are_not_taken_for_more_memory_than_one() {
        let header = |number: u32| {
            let value = "v".repeat(1000);
            let record = format!("1016 key{number:04}={value}\n");
            assert_eq!(record.len(), 1014);
            ustar("x", format!("1014{}", &record[4..]).as_bytes(), b'x', 0, "")
        };
        let many = |count| [(0..count).flat_map(header).collect(), file("a", b"1")].concat();
        assert_eq!(names(&many(1000)).unwrap(), ["a"]);
        names(&many(1100)).unwrap_err();
        // It is counted for each member anew.
        assert_eq!(names(&[many(1000), many(1000)].concat()).unwrap(), ["a", "a"]);
    }

    #[test]
    fn numbers_may_be_written_as_bytes() {
        assert_eq!(integer(&[0x80, 0, 0, 0, 0, 0, 1, 0]).unwrap(), 256);
        assert_eq!(integer(&[0xff; 8]).unwrap(), -1);
        assert_eq!(integer(b"  644 \0\0").unwrap(), 0o644);
        assert_eq!(integer(b"\0\0\0\0\0\0\0\0").unwrap(), 0);
        integer(b"0000009\0").unwrap_err();
        integer(&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).unwrap_err();
    }
}
