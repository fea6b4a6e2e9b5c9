//! Keeps what cargo-pgrx reads from the library: the sections that describe its SQL objects.
//!
//! cargo-pgrx would pass this flag for every crate, which builds all of them once more than `cargo test` does;
//! `tests/env.sh` switches that off.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_SERVER").is_some() && cfg!(target_os = "linux") {
        println!("cargo:rustc-link-arg-cdylib=-Wl,--no-gc-sections");
    }
}
