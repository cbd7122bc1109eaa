//! How long it takes to read a configuration: an ini file of 1,000 lines.

use std::ffi::OsString;
use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use uwring::options::{self, Environment};

const LINES: usize = 1_000;

/// Options, variables, comments, conditions and lists, as in the files that people have.
fn text() -> String {
    let mut text = "[uwsgi]\nbase = /srv/app\nmodule = site.wsgi:application\nmaster = true\n\
                    http-socket = 127.0.0.1:8000\n"
        .to_owned();
    for block in 0.. {
        let lines = text.lines().count();
        if lines + 10 > LINES {
            for _ in lines..LINES {
                text.push_str("; the end\n");
            }
            return text;
        }
        write!(
            text,
            "; part {block}\npart-{block} = %(base)/{block}\nenv = PART_{block}=%(part-{block})\n\
             static-map = /{block}=%(part-{block})/static\nif-env = NONE_SUCH_{block}\n\
             processes = 9\nendif =\nprocesses = %(2 + 2)\nharakiri = 30 ; seconds\n\n"
        )
        .expect("a String takes all");
    }
    unreachable!("the loop returns")
}

fn config(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.ini");
    std::fs::write(&path, text()).expect("written");
    let args: Vec<OsString> = vec!["uwring".into(), "--ini".into(), path.into()];
    let env: Environment = std::env::vars_os().collect();
    criterion.bench_function("read an ini of 1,000 lines", |bencher| {
        bencher.iter(|| {
            let options = options::from_process(black_box(args.clone()), &env).expect("right");
            assert_eq!(options.processes, 4);
            options.settings.len()
        });
    });
}

criterion_group!(benches, config);
criterion_main!(benches);
