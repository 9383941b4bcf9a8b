//! Lays environment and command line over what the files say.

use loggerhead_protocols::hint;

use super::document::{Node, Value};
use super::problem::{Gravity, Place, Problem};
use super::schema::{self, Keys, Kind};

/// What every variable of ours starts with.
const PREFIX: &str = "LOGGERHEAD_";
/// What stands in a variable's name where a point stands in a key.
const POINT: &str = "__";
/// Variables of ours that are no keys.
const NOT_KEYS: [&str; 1] = ["LOGGERHEAD_CONFIG"];

/// Puts every variable of ours over the tree.
pub(super) fn environment(tree: &mut Node, variables: &[(String, String)], problems: &mut Vec<Problem>) {
    // A whole list or table comes before what is in it.
    let mut variables: Vec<&(String, String)> = variables.iter().collect();
    variables.sort_by_key(|(name, _)| name.matches(POINT).count());
    for (name, value) in variables {
        let Some(path) = name.strip_prefix(PREFIX).filter(|_| !NOT_KEYS.contains(&name.as_str())) else { continue };
        let place = Place::Environment(name.clone());
        let steps: Vec<String> = path.split(POINT).map(str::to_lowercase).collect();
        let gravity = if is_of_a_container_manager(path) { Gravity::Warning } else { Gravity::Error };
        lay(tree, &steps, value, &place, gravity, problems);
    }
}

/// Container managers describe a service of our name by themselves, with names such as LOGGERHEAD_SERVICE_HOST and
/// LOGGERHEAD_PORT_36829_TCP: these must not keep the server from starting.
fn is_of_a_container_manager(path: &str) -> bool {
    !path.contains(POINT) && path.split('_').any(|word| matches!(word, "SERVICE" | "PORT" | "ENV"))
}

/// Puts every `KEY=VALUE` over the tree.
pub(super) fn command_line(tree: &mut Node, assignments: &[String], problems: &mut Vec<Problem>) {
    for assignment in assignments {
        let Some((path, value)) = assignment.split_once('=') else {
            let text = "--set takes KEY=VALUE, such as --set store.frames=false".to_owned();
            let key = assignment.clone();
            problems.push(Problem { gravity: Gravity::Error, place: Place::CommandLine, key, text });
            continue;
        };
        let steps: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
        lay(tree, &steps, value.trim(), &Place::CommandLine, Gravity::Error, problems);
    }
}

fn lay(tree: &mut Node, steps: &[String], value: &str, place: &Place, gravity: Gravity, problems: &mut Vec<Problem>) {
    let node = Node { value: Value::Word(value.to_owned()), place: place.clone() };
    if let Err(text) = put(tree, schema::ROOT, steps, node) {
        problems.push(Problem { gravity, place: place.clone(), key: steps.join("."), text });
    }
}

fn put(tree: &mut Node, keys: Keys, steps: &[String], node: Node) -> Result<(), String> {
    let Some((first, rest)) = steps.split_first() else { return Err("a value is missing".to_owned()) };
    let Some(key) = schema::find(keys, first) else {
        return Err(format!("there is no such key{}", hint(first, schema::words(keys))));
    };
    match key.kind {
        Kind::Tables(_) if rest.is_empty() => {
            let list = node.parsed().filter(|node| matches!(node.value, Value::List(_)));
            tree.put(steps, list.ok_or("takes a list of tables: [{ KEY = VALUE, .. }]")?);
            Ok(())
        }
        Kind::Table(_) if rest.is_empty() => {
            let table = node.parsed().filter(|node| matches!(node.value, Value::Table(_)));
            tree.put(steps, table.ok_or("takes a table: { KEY = VALUE, .. }")?);
            Ok(())
        }
        Kind::Tables(below) => {
            let Some((name, rest)) = rest.split_first().filter(|(_, rest)| !rest.is_empty()) else {
                return Err(format!("name one of them and a key: {first}.NAME.KEY"));
            };
            let entry = named(tree, first, name)?;
            if rest.first().is_some_and(|step| loggerhead_protocols::find(step).is_some()) {
                entry.put(rest, node.parsed().unwrap_or(node));
                return Ok(());
            }
            put(entry, below, rest, node)
        }
        Kind::Table(below) => {
            if tree.entry(first).is_none() {
                tree.put(std::slice::from_ref(first), Node::table(node.place.clone()));
            }
            let Value::Table(entries) = &mut tree.value else { return Err("is not a table".to_owned()) };
            let Some((_, table)) = entries.iter_mut().find(|(name, _)| name == first) else { return Ok(()) };
            put(table, below, rest, node)
        }
        Kind::Text
        | Kind::Path
        | Kind::Word(_)
        | Kind::Flag
        | Kind::Count(..)
        | Kind::Texts
        | Kind::Secret
        | Kind::Secrets => {
            if !rest.is_empty() {
                return Err(format!("{first} has no keys below it"));
            }
            tree.put(steps, node);
            Ok(())
        }
    }
}

/// The listener or device of that name, in any case and with `_` for any other sign, as variables need it.
fn named<'a>(tree: &'a mut Node, list: &str, name: &str) -> Result<&'a mut Node, String> {
    let folded = fold(name);
    let Value::Table(entries) = &mut tree.value else { return Err("is not a table".to_owned()) };
    let tables = entries.iter_mut().find(|(key, _)| key == list).map(|(_, node)| &mut node.value);
    let Some(Value::List(tables)) = tables else { return Err(format!("there is no {list} at all")) };
    let names: Vec<String> = tables.iter().filter_map(name_of).collect();
    let position = tables.iter().position(|table| name_of(table).is_some_and(|name| fold(&name) == folded));
    match position.and_then(|position| tables.get_mut(position)) {
        Some(table) => Ok(table),
        None => Err(format!("no {list} is called {name:?}{}", hint(name, names.iter().map(String::as_str)))),
    }
}

fn fold(name: &str) -> String {
    name.chars().map(|sign| if sign.is_alphanumeric() { sign.to_ascii_lowercase() } else { '_' }).collect()
}

/// What a listener or a device is called before it is checked.
fn name_of(table: &Node) -> Option<String> {
    ["name", "id", "identity", "protocol"].iter().find_map(|key| table.entry(key)?.value.text()).map(str::to_owned)
}
