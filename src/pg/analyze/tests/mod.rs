//! Server tests of the analysis: statements and the accesses that they make.

mod schema;

#[pgrx::pg_schema]
mod analyze_tests {
    use pgrx::pg_extern;

    /// The facts of one statement as text, for a look by hand.
    #[pg_extern]
    fn analyzed(sql: &str) -> String {
        super::schema::lines(sql).join("\n")
    }
}
