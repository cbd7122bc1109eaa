//! Extension modules that refuse an interpreter after the trial: those that an app imports late, in
//! a view or at its first connect, and those of an app whose isolation was pinned.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::sync::Mutex;

use super::app::Boot;
use super::worker::Plan;
use crate::handoff::Handoff;
use crate::python::{Args, Exception, Function, Native, Object, Py, Type};
use crate::shared::Board;

static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The modules that have refused in this process.
pub fn refusals() -> Vec<String> {
    SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).iter().cloned().collect()
}

/// What boot.py tells of a module that failed to load while requests are served.
struct Refusals {
    board: &'static Board,
    handoff: &'static Handoff,
}

/// Begins to watch an interpreter that has its app, and tells what refused so far.
pub fn watch(py: Py<'_>, plan: &Plan, boot: &Boot) -> Result<(), Exception> {
    for (module, error) in boot.refused_extensions(py) {
        if is_refusal(&error) && is_new(&module) {
            crate::log::line(format_args!(
                "isolation: {module} refuses sub-interpreters; --isolation process would load it"
            ));
        }
    }
    let class: Type<Refusals> =
        Type::new(py, c"uwring.Refusals", vec![Type::method::<Told>()], None)?;
    let refusals = Refusals { board: plan.board, handoff: plan.handoff };
    let refusals: Native<'_, Refusals> = class.instance(py, refusals);
    boot.report_refusals(py, &refusals.into_object().attribute(&py.str("told"))?)
}

/// Whether the extension loader, and not the module's own code, said no.
fn is_refusal(error: &str) -> bool {
    error.contains("does not support loading in subinterpreters")
}

/// Whether this module is the first of its name that refuses in this process: all interpreters of a
/// server meet the same.
fn is_new(module: &str) -> bool {
    SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(module.to_owned())
}

/// Called with a module's name and its error.
struct Told;

impl Function for Told {
    type On = Refusals;
    const NAME: &'static CStr = c"told";
    const DOC: &'static CStr = c"told(module, error): says that a module failed to load";

    fn call<'py>(
        py: Py<'py>,
        this: &Refusals,
        args: &Args<'_, 'py>,
    ) -> Result<Object<'py>, Exception> {
        let [module, error] = args.bind(["module", "error"])?;
        let text = |object: Option<&Object<'py>>| object.map(Object::to_text).unwrap_or_default();
        let (module, error) = (text(module), text(error));
        if is_refusal(&error) && is_new(&module) {
            crate::log::line(format_args!(
                "isolation: {module} refuses sub-interpreters, met while serving: requests that \
                 need it fail; --isolation process would load it"
            ));
            this.board.count_late_refusal();
            // The control thread may look at `Board::late_refusals` now.
            this.handoff.ring_control();
        }
        Ok(py.none())
    }
}
