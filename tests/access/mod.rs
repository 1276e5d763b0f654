//! Who callers are, and how they prove it: directories, certificates, and what stands before the server.

mod certificates;
mod ldap;
