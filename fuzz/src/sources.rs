//! Names that come from directories and certificates.

use gantry_server::fuzzing;

/// A name for a filter, and after a line end each a DN and what it may lie below.
pub(crate) fn directory(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let name = lines.next().unwrap_or_default();
    for filter in ["(uid={})", "(&(objectClass=person)(|(uid={})(mail={}@example.com)))", "(member={dn})"] {
        let (filled, good) = fuzzing::ldap_filter(filter, name);
        assert!(good, "{filled}");
        // A name adds nothing that a filter is made of.
        let made_of = |text: &str| text.bytes().filter(|byte| b"()*&|!".contains(byte)).collect::<Vec<_>>();
        let harmless = name.replace(['&', '|', '!'], "");
        let (filled, _) = fuzzing::ldap_filter(filter, &harmless);
        assert_eq!(made_of(&filled), made_of(filter), "{filled}");
    }
    let (dn, below) = (lines.next().unwrap_or_default(), lines.next());
    let somewhere = fuzzing::ldap_group(dn, None);
    if let Some(group) = fuzzing::ldap_group(dn, below) {
        assert_eq!(somewhere.as_deref(), Some(&*group), "where it lies does not change its name");
    }
    // The parent of a DN is where it lies, when nothing in its first component is quoted.
    if let Some((first, parent)) = dn.split_once(',')
        && !first.contains(['\\', ';'])
        && somewhere.is_some()
    {
        assert_eq!(fuzzing::ldap_group(dn, Some(parent)), somewhere);
        assert_eq!(fuzzing::ldap_group(parent, Some(dn)), None);
    }
}

pub(crate) fn client_certificate(bytes: &[u8]) {
    for name in fuzzing::certificate_names(bytes) {
        assert!((1..=255).contains(&name.len()));
        assert!(!name.contains(|letter: char| letter.is_control() || letter.is_whitespace()), "{name:?}");
        assert!(!name.contains(':') || name.starts_with("spiffe://"), "{name:?}");
    }
}
