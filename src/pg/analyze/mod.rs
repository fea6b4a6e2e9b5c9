//! stub
pub fn analyze(
    _p: &crate::planning::workload::shadow::Plan,
    s: &[(String, Vec<String>)],
) -> Vec<crate::model::access::Analysis> {
    s.iter()
        .map(|_| crate::model::access::Analysis::Refused { sqlstate: "0A000".into(), message: "stub".into() })
        .collect()
}
