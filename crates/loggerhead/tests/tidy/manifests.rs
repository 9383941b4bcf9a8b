//! Rules about the crates and what they may depend on.

use super::{File, check, tree};

/// Each crate with the crates of ours that it may use: ARCHITECTURE.md, Code map.
const DIRECTION: [(&str, &[&str]); 7] = [
    ("model", &[]),
    ("protocols", &["model"]),
    ("store", &["model"]),
    ("headend", &["model", "protocols", "store"]),
    ("web", &["model", "protocols", "store", "headend"]),
    ("loggerhead", &["model", "protocols", "store", "headend", "web"]),
    ("fuzz", &["model", "protocols", "headend"]),
];

/// The manifest of every crate, with the name of its folder.
fn manifests(files: &[File]) -> Vec<(&str, &File)> {
    files
        .iter()
        .filter_map(|file| {
            let folder = file.path.strip_suffix("/Cargo.toml")?;
            Some((folder.rsplit('/').next()?, file))
        })
        .collect()
}

#[test]
fn every_crate_has_the_workspace_lints() {
    let files = tree();
    let complaints: Vec<_> = manifests(&files)
        .iter()
        .filter(|(_, manifest)| !manifest.text.contains("[lints]\nworkspace = true"))
        .map(|(_, manifest)| manifest.path.clone())
        .collect();
    check(&complaints, "without the lints of the workspace: add `[lints]` with `workspace = true`");
}

#[test]
fn dependencies_run_one_way() {
    let files = tree();
    let mut complaints = Vec::new();
    for (name, manifest) in manifests(&files) {
        let Some((_, allowed)) = DIRECTION.iter().find(|(crate_name, _)| *crate_name == name) else {
            complaints.push(format!("{}: not in the table of this test and in ARCHITECTURE.md", manifest.path));
            continue;
        };
        let used = manifest.text.lines().filter_map(|line| line.strip_prefix("loggerhead-"));
        for used in used.filter_map(|rest| rest.split(['.', ' ', '=']).next()) {
            if !allowed.contains(&used) {
                complaints.push(format!("{}: uses loggerhead-{used}", manifest.path));
            }
        }
    }
    check(
        &complaints,
        "against the direction loggerhead -> web -> headend -> { store, protocols } -> model: move the code",
    );
}

#[test]
fn every_dependency_comes_from_the_workspace() {
    let files = tree();
    let mut complaints = Vec::new();
    for (_, manifest) in manifests(&files) {
        let mut in_dependencies = false;
        for line in manifest.text.lines() {
            if line.starts_with('[') {
                in_dependencies = line.ends_with("dependencies]");
            } else if in_dependencies && line.contains('=') && !line.contains("workspace = true") {
                complaints.push(format!("{}: {line}", manifest.path));
            }
        }
    }
    check(&complaints, "a version of its own: put it into [workspace.dependencies] and write `name.workspace = true`");
}

#[test]
fn every_dependency_is_used() {
    let files = tree();
    let mut complaints = Vec::new();
    for (name, manifest) in manifests(&files) {
        let folder = manifest.path.trim_end_matches("Cargo.toml");
        let sources: Vec<_> = files.iter().filter(|file| file.is_rust() && file.path.starts_with(folder)).collect();
        for dependency in dependencies(&manifest.text) {
            // The crate md-5 calls its library md5; all others only turn dashes into underscores.
            let library = if dependency == "md-5" { "md5".to_owned() } else { dependency.replace('-', "_") };
            if !sources.iter().any(|file| file.text.contains(&library)) {
                complaints.push(format!("{name}: {dependency}"));
            }
        }
    }
    check(&complaints, "a dependency that no source names: remove it from the manifest");
}

/// The names of what a manifest depends on.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let sections = manifest
        .split("\n[")
        .filter(|section| section.split(']').next().is_some_and(|heading| heading.ends_with("dependencies")));
    sections
        .flat_map(|section| section.lines().skip(1))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
}
