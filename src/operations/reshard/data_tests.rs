//! Tests of the data's way: capture, copy, catching up and comparing, as the
//! worker calls them, inside one transaction or from several sessions.

#[pgrx::pg_schema]
mod tests {
    use pgrx::JsonB;
    use pgrx::Spi;
    use pgrx::pg_extern;
    use pgrx::pg_sys;
    use serde_json::Value;
    use serde_json::json;

    use crate::model::reshard::Change;
    use crate::operations::reshard::capture;
    use crate::operations::reshard::catch_up;
    use crate::operations::reshard::copy;
    use crate::operations::reshard::verify;

    type Outcome<T> = Result<T, pg_sys::panic::ErrorReport>;

    /// A change as scripts describe it: names are looked up, targets have their tables already.
    fn change(sources: &[String], targets: &[String], identity: &[String]) -> Change {
        let table = |name: &String| {
            Spi::get_one_with_args::<JsonB>(
                "SELECT jsonb_build_object('oid', c.oid::bigint, 'like', 0, 'bound', '', 'tablespace', NULL,
                        'name', jsonb_build_object('schema', n.nspname, 'name', c.relname))
                 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1::regclass",
                &[name.as_str().into()],
            )
            .unwrap()
            .unwrap()
            .0
        };
        let (sources, targets): (Vec<Value>, Vec<Value>) =
            (sources.iter().map(table).collect(), targets.iter().map(table).collect());
        let (root, oid) = (sources[0]["name"].clone(), sources[0]["oid"].clone());
        serde_json::from_value(json!({
            "parent": root, "parent_oid": oid, "root": root, "root_oid": oid, "sources": sources,
            "targets": targets, "identity": identity, "online": true,
        }))
        .unwrap()
    }

    #[pg_extern]
    fn reshard_install(s: Vec<String>, t: Vec<String>, i: Vec<String>, id: i64) -> Outcome<()> {
        capture::install(&change(&s, &t, &i), id)
    }

    #[pg_extern]
    fn reshard_remove(s: Vec<String>, t: Vec<String>, i: Vec<String>, id: i64) -> Outcome<()> {
        capture::remove(&change(&s, &t, &i), id)
    }

    #[pg_extern]
    fn reshard_chunk(
        s: Vec<String>,
        t: Vec<String>,
        i: Vec<String>,
        id: i64,
        cursor: Option<JsonB>,
        rows: i64,
    ) -> Outcome<JsonB> {
        let chunk = copy::chunk(&change(&s, &t, &i), id, cursor.as_ref().map(|cursor| &cursor.0), rows)?;
        Ok(JsonB(json!({
            "rows": chunk.rows, "bytes": chunk.bytes, "cursor": chunk.cursor, "finished": chunk.finished,
            "restart": chunk.restart,
        })))
    }

    #[pg_extern]
    fn reshard_round(s: Vec<String>, t: Vec<String>, i: Vec<String>, id: i64, most: i64) -> Outcome<JsonB> {
        let round = catch_up::round(&change(&s, &t, &i), id, most)?;
        Ok(JsonB(json!({"keys": round.keys, "left": round.left, "restart": round.restart})))
    }

    #[pg_extern]
    fn reshard_backlog(s: Vec<String>, t: Vec<String>, i: Vec<String>, id: i64) -> Outcome<i64> {
        catch_up::backlog(&change(&s, &t, &i), id)
    }

    #[pg_extern]
    fn reshard_verify(
        s: Vec<String>,
        t: Vec<String>,
        i: Vec<String>,
        id: i64,
        cursor: Option<JsonB>,
        rows: i64,
    ) -> Outcome<JsonB> {
        let cursor = cursor.as_ref().map(|cursor| &cursor.0);
        let bucket = verify::bucket_of(&change(&s, &t, &i), id, cursor, rows)?;
        Ok(JsonB(json!({"rows": bucket.rows, "cursor": bucket.cursor, "finished": bucket.finished})))
    }
}
