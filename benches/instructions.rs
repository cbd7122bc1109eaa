//! The pieces of the criterion benches, run a given number of times: for callgrind, which counts.
//!
//!     instructions --list          # FILE and NAME of each piece, a tab between
//!     instructions FILE NAME COUNT
//!
//! `benches/compare.py --instructions` runs it twice, with two counts: the difference is free of
//! what starting takes.

#![allow(dead_code)]

#[path = "encode.rs"]
mod encode;
#[path = "handoff.rs"]
mod handoff;
#[path = "log.rs"]
mod log;
#[path = "parse.rs"]
mod parse;
#[path = "python.rs"]
mod python;

type Pieces = fn(&mut dyn FnMut(&str, &mut dyn FnMut()));

const FILES: [(&str, Pieces); 5] = [
    ("parse", parse::pieces),
    ("encode", encode::pieces),
    ("handoff", handoff::pieces),
    ("log", log::pieces),
    ("python", python::pieces),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [file, name, count] => {
            let count: u64 = count.parse().expect("a number");
            let (_, pieces) = FILES.iter().find(|(found, _)| found == file).expect("a file");
            let mut found = false;
            pieces(&mut |piece, run| {
                // The others once: a bench may look at what its piece has left.
                let times = if piece == name { count } else { 1 };
                found |= piece == name;
                (0..times).for_each(|_| run());
            });
            assert!(found, "there is no piece {name}");
        }
        [flag] if flag == "--list" => {
            for (file, pieces) in FILES {
                pieces(&mut |piece, run| {
                    run();
                    println!("{file}\t{piece}");
                });
            }
        }
        // `cargo bench` runs each bench with --bench: there is nothing to time here.
        _ => {}
    }
}
