"""Mutants of resharding: each takes away one rule without which changes would be lost.

  mutants.py list                   their names and the tests that kill them
  mutants.py apply ROOT NAME        patches a checkout; fails if the source has not exactly one such place
"""
import os
import sys

CAPTURE = "reshard_capture"
MUTANTS = {
    "not_always": (CAPTURE, [("src/operations/reshard/capture.rs", "ENABLE ALWAYS TRIGGER {quoted}", "ENABLE TRIGGER {quoted}")]),
    "no_old_key": (CAPTURE, [("src/pg/capture/mod.rs", "                put(log, &new.values, &new.nulls);",
                              "                return put(log, &new.values, &new.nulls);")]),
    "no_truncate": (CAPTURE, [("src/operations/reshard/capture.rs", "in triggers(operation_id) {\n            create_trigger",
                               "in triggers(operation_id).into_iter().take(1) {\n            create_trigger")]),
    "watermark": (CAPTURE, [("src/pg/capture/log.rs", "settled[block as usize]) == lsn {", "settled[block as usize]) > 0 {")]),
    "one_stage": ("reshard_waiters", [
        ("src/operations/reshard/cutover.rs", "    let Some(last) = consume(job, &budget)? else { return Ok(Outcome::Anew) };",
         "    let _ = consume;\n"
         "    let last = transaction::run(Isolation::ReadCommitted, || {\n"
         "        Ok(Last { transaction: server::transaction_id(), any: false })\n    })?;"),
        ("src/operations/reshard/cutover.rs", "    if catch_up::backlog(&job.change, job.id)? > 0 {",
         "    while catch_up::round(&job.change, job.id, i64::from(i32::MAX))?.keys > 0 {}\n"
         "    if catch_up::backlog(&job.change, job.id)? > 0 {"),
    ]),
    "no_snapshot_wait": ("reshard_waiters", [("src/operations/reshard/cutover.rs", "    if strict && let Some(holders)",
                                              "    if strict && job.id < 0 && let Some(holders)")]),
    "impatient": ("reshard_waiters", [("src/operations/reshard/cutover.rs",
                                       "Patience { all: last.any && tried < PATIENT_TRIES, keeping: last.any }",
                                       "Patience { all: last.any && tried < PATIENT_TRIES - 9, keeping: last.any && job.id < 0 }")]),
    "unrefused": ("isolation", [("src/pg/unseen.rs", "        youngest > 0\n", "        youngest == u64::MAX\n")]),
    "no_write_block": (CAPTURE, [("src/catalog/retired.rs", "operation_id: i64) -> Result<(), ErrorReport> {\n    spi::run(",
                                  "operation_id: i64) -> Result<(), ErrorReport> {\n    if root > 0 {\n        return Ok(());\n    }\n    spi::run(")]),
    "check_without_not_null": (CAPTURE, [(
        "src/pg/bound_check.rs", "            store(to, name.as_ptr().cast_mut(), pg_sys::make_ands_explicit(mapped));",
        "            let mut kept: *mut pg_sys::List = null_mut();\n"
        "            for at in 0..(*mapped).length as usize {\n"
        "                let node = (*(*mapped).elements.add(at)).ptr_value;\n"
        "                if (*node.cast::<pg_sys::Node>()).type_ != pg_sys::NodeTag::T_NullTest {\n"
        "                    kept = pg_sys::lappend(kept, node);\n                }\n            }\n"
        "            store(to, name.as_ptr().cast_mut(), pg_sys::make_ands_explicit(kept));")]),
    "source_before_log": (CAPTURE, [
        ("src/operations/reshard/copy.rs", "    let Some(keys) = transfer.bring_changes(Some(after.as_ref()), rows)?",
         "    let copied = transfer.copy(after.as_ref(), rows)?;\n"
         "    let Some(keys) = transfer.bring_changes(Some(after.as_ref()), rows)?"),
        ("src/operations/reshard/copy.rs", "    if keys.left == 0 {\n        let copied = transfer.copy(after.as_ref(), rows)?;\n",
         "    if keys.left == 0 {\n"),
        ("src/pg/capture/log.rs", "        pg_sys::PushCopiedSnapshot(pg_sys::GetActiveSnapshot());",
         "        pg_sys::PushCopiedSnapshot(pg_sys::GetLatestSnapshot());"),
    ]),
}


def apply(root, name):
    for file, old, new in MUTANTS[name][1]:
        path = os.path.join(root, file)
        with open(path) as source:
            text = source.read()
        if text.count(old) != 1:
            sys.exit(f"mutant {name}: {file} has {text.count(old)} places like\n{old}")
        with open(path, "w") as source:
            source.write(text.replace(old, new))


if sys.argv[1:2] == ["list"]:
    for name, (test, _) in MUTANTS.items():
        print(name, test)
elif sys.argv[1:2] == ["apply"] and len(sys.argv) == 4:
    apply(sys.argv[2], sys.argv[3])
else:
    sys.exit(__doc__)
