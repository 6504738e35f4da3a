//! The bindings of `usher:plugin` track 0.1 as generated. The modules beside this one are the front of it; come here only for
//! what they don't offer. An interface that no code path calls is not among the imports of the finished component.
#![allow(
    missing_docs,
    unsafe_code,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]

wit_bindgen::generate!({
    path: "wit",
    world: "processor",
    pub_export_macro: true,
    default_bindings_module: "usher_plugin::raw",
});
