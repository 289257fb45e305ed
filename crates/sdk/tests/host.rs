//! What applications see through a context.

use sdk::testing::MemoryHost;
use sdk::{Application, Command, Context, Migration, Query, Refusal, Reply};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

type Run<'f> = dyn Fn(&mut Context<'_>) -> Result<Reply, Refusal> + Send + Sync + 'f;

/// An application of one closure.
struct Only<'f>(Box<Run<'f>>);

impl Application for Only<'_> {
    fn apply(&self, context: &mut Context<'_>, _: Command<'_>) -> Result<Reply, Refusal> {
        (self.0)(context)
    }

    fn query(&self, context: &mut Context<'_>, _: Query<'_>) -> Result<Reply, Refusal> {
        (self.0)(context)
    }
}

fn only(run: impl Fn(&mut Context<'_>) -> Result<Reply, Refusal> + Send + Sync + 'static) -> Only<'static> {
    Only(Box::new(run))
}

/// A host with the rows 000 to 019, each holding its number.
fn host() -> MemoryHost {
    let mut host = MemoryHost::new(&["numbers"], &["numbers.events"]);
    let fill = only(|context| {
        let mut table = context.table::<u32>("numbers");
        (0..20_u32).try_for_each(|number| table.put(format!("{number:03}"), &number))?;
        Ok(Reply::empty())
    });
    host.apply(&fill, "fill", &()).expect("filled");
    host
}

fn answer(run: impl Fn(&mut Context<'_>) -> Result<Reply, Refusal> + Send + Sync + 'static) -> String {
    host().query(&only(run), "ask", &()).expect("answered").to_string()
}

#[test]
fn scans_go_over_pages_in_both_directions_and_stop_where_told() {
    fn numbers(rows: &[sdk::Row<u32>]) -> Result<Reply, Refusal> {
        Reply::json(&rows.iter().map(|row| row.document).collect::<Vec<_>>())
    }
    let all: Vec<u32> = (0..20).collect();
    let seen = answer(|context| numbers(&context.table("numbers").scan().rows()?));
    assert_eq!(seen, format!("{all:?}").replace(' ', ""));

    let seen = answer(|context| numbers(&context.table("numbers").scan().reverse().limit(9).rows()?));
    assert_eq!(seen, "[19,18,17,16,15,14,13,12,11]");
    let seen = answer(|context| numbers(&context.table("numbers").scan().start("004").end("007").rows()?));
    assert_eq!(seen, "[4,5,6]");
    let seen = answer(|context| numbers(&context.table("numbers").scan().prefix("01").reverse().rows()?));
    assert_eq!(seen, "[19,18,17,16,15,14,13,12,11,10]");
    let seen = answer(|context| numbers(&context.table("numbers").scan().limit(0).rows()?));
    assert_eq!(seen, "[]");
    let seen = answer(|context| numbers(&context.table("numbers").scan().start("9").rows()?));
    assert_eq!(seen, "[]");
}

#[test]
fn a_visitor_that_refuses_ends_the_scan() {
    let stop = only(|context| {
        context.table::<u32>("numbers").scan().each(|_, number| match number {
            3 => Err(Refusal::new("three")),
            4.. => panic!("it went on"),
            0..3 => Ok(()),
        })?;
        Ok(Reply::empty())
    });
    let refusal = host().query(&stop, "ask", &()).expect_err("a refusal");
    assert_eq!(refusal.to_string(), r#"{"reason":"three"}"#);
}

#[test]
fn a_document_of_another_form_is_a_refusal_that_names_it() {
    let read = only(|context| Reply::json(&context.table::<String>("numbers").get("007")?));
    let refusal = host().query(&read, "ask", &()).expect_err("a refusal");
    assert_eq!(refusal["code"], "malformed");
    let reason = refusal["reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("the document under 007 in table numbers is not"),
        "{reason}"
    );
}

#[test]
fn what_cannot_be_json_is_a_refusal() {
    let write = only(|context| {
        let unkeyed = std::collections::BTreeMap::from([((1, 2), 3)]);
        context.emit_unkeyed("numbers.events", &unkeyed)?;
        Ok(Reply::empty())
    });
    let refusal = host().apply(&write, "do", &()).expect_err("a refusal");
    assert_eq!(refusal["code"], "not_json");
}

#[test]
fn time_index_and_chance_are_the_hosts() {
    let mut host = MemoryHost::new(&[], &[]);
    host.set_time_ms(77);
    let look = only(|context| {
        let (first, second) = (context.random(), context.random());
        assert_ne!(first, second);
        Reply::json(&(context.time_ms(), context.index(), first))
    });
    let first = host.apply(&look, "look", &()).expect("applied");
    let second = host.apply(&look, "look", &()).expect("applied");
    assert_eq!((&first[0], &first[1]), (&77.into(), &1.into()));
    assert_eq!(second[1], 2);
    assert_ne!(first[2], second[2], "another entry, other numbers");
}

#[test]
fn misuse_does_not_return_and_leaves_nothing_behind() {
    let misuses: [fn(&mut Context<'_>); 3] = [
        |context| context.table::<u32>("numbers").delete("001"),
        |context| context.host().put("numbers", b"001", b"0"),
        |context| context.host().emit("numbers.events", None, b"0"),
    ];
    for misuse in misuses {
        let returned = AssertUnwindSafe(RefCell::new(false));
        let mut host = host();
        let before = host.rows("numbers");
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let write = only(move |context| {
                misuse(context);
                Ok(Reply::empty())
            });
            let _ = host.query(&write, "ask", &());
            *returned.borrow_mut() = true;
        }));
        assert!(ended.is_err() && !*returned.borrow(), "a query that writes");
        assert_eq!(host.rows("numbers"), before);
        assert!(host.events().is_empty());
    }
    let unknown = only(|context| Reply::json(&context.table::<u32>("letters").contains("a")));
    let ended = catch_unwind(AssertUnwindSafe(|| host().query(&unknown, "ask", &())));
    assert!(ended.is_err(), "an unknown table");
}

#[test]
fn queries_and_migrations_that_are_not_there_are_refused() {
    struct Bare;
    impl Application for Bare {
        fn apply(&self, _: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
            Err(command.unknown())
        }
    }
    let mut host = MemoryHost::new(&["numbers"], &[]);
    let code = |refusal: serde_json::Value| refusal["code"].clone();
    assert_eq!(
        code(host.apply(&Bare, "a", &()).expect_err("refused")),
        "unknown_command"
    );
    assert_eq!(code(host.query(&Bare, "a", &()).expect_err("refused")), "unknown_query");
    let row = Migration {
        table: "numbers",
        from: 1,
        to: 2,
        key: b"a",
        document: b"1",
    };
    let refusal = Bare.migrate(row).expect_err("refused");
    assert!(refusal.to_string().contains("unknown_migration"), "{refusal}");
}
