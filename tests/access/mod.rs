//! Who callers are, and how they prove it: directories, certificates, and what stands before the server.

mod certificates;
mod directory;
mod howto_certificates;
mod howto_htpasswd;
mod howto_ldap;
mod howto_proxy;
mod howto_tokens;
mod ldap;
mod tokens;
mod waiting;
