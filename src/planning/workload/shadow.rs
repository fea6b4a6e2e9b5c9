//! stub
use std::collections::BTreeSet;
pub struct Existing {
    pub types: BTreeSet<(String, String)>,
    pub schemas: BTreeSet<String>,
}
pub struct Plan;
pub fn plan(_p: &crate::model::profile::Profile, _e: &Existing, _t: &str) -> Plan {
    Plan
}
