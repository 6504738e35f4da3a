//! How one operation is written down, so that what all of its kind share is said once: who may come in, and how it refuses.

use serde_json::{Value, json};
use utoipa::openapi::{
    Content, ContentBuilder, Header, HeaderBuilder, HttpMethod, ObjectBuilder, PathItem, Ref, RefOr, Required,
    ResponseBuilder, Schema, SchemaFormat, SecurityRequirement, Type,
    example::{Example, ExampleBuilder},
    path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::{RequestBody, RequestBodyBuilder},
};

use super::refusals::{self, Refusal};

pub(super) const BEARER: &str = "bearer";
pub(super) const SIGNATURE: &str = "signature";
const PROBLEM: &str = "application/problem+json";

/// Who may call it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Anyone,
    /// Anyone, and a caller is told more.
    Optional,
    Caller,
}

/// An operation, as it is written down. It begins as one that anyone may call and that answers nothing.
pub(super) struct Op {
    method: HttpMethod,
    path: &'static str,
    tag: &'static str,
    id: &'static str,
    summary: &'static str,
    about: Option<&'static str>,
    who: Who,
    parameters: Vec<Parameter>,
    body: Option<RequestBody>,
    answers: Vec<(u16, ResponseBuilder)>,
    refusals: Vec<Refusal>,
}

impl Op {
    fn new(method: HttpMethod, path: &'static str, tag: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            tag,
            id,
            summary,
            about: None,
            who: Who::Anyone,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            refusals: refusals::ANY.to_vec(),
        }
    }

    pub fn get(path: &'static str, tag: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(HttpMethod::Get, path, tag, id, summary)
    }

    pub fn post(path: &'static str, tag: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(HttpMethod::Post, path, tag, id, summary)
    }

    pub fn put(path: &'static str, tag: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(HttpMethod::Put, path, tag, id, summary)
    }

    pub fn patch(path: &'static str, tag: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(HttpMethod::Patch, path, tag, id, summary)
    }

    pub fn delete(path: &'static str, tag: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(HttpMethod::Delete, path, tag, id, summary)
    }

    pub fn about(mut self, text: &'static str) -> Self {
        self.about = Some(text);
        self
    }

    /// Any authenticated caller.
    pub fn caller(mut self) -> Self {
        self.who = Who::Caller;
        self.refuses(refusals::UNAUTHENTICATED).refuses_all(&refusals::CALLER)
    }

    /// Anyone; a stranger is told less.
    pub fn optional_caller(mut self) -> Self {
        self.who = Who::Optional;
        // One who is known badly is a stranger, or refused where `auth.optional` is strict.
        self.refuses(refusals::UNAUTHENTICATED).refuses_all(&refusals::CALLER)
    }

    /// Only some callers.
    pub fn only(self, refusal: Refusal) -> Self {
        self.caller().refuses(refusal)
    }

    pub fn refuses(mut self, refusal: Refusal) -> Self {
        self.refusals.push(refusal);
        self
    }

    pub fn refuses_all(mut self, refusals: &[Refusal]) -> Self {
        self.refusals.extend(refusals);
        self
    }

    /// It needs the database, which may be away, or a host that is not short of memory.
    pub fn database(self) -> Self {
        self.refuses(refusals::UNAVAILABLE)
    }

    /// In the path; the example is of a thing that need not be there.
    pub fn path(mut self, name: &'static str, about: &'static str, schema: ObjectBuilder, example: Value) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(about))
            .schema(Some(schema))
            .example(Some(example));
        self.parameters.push(parameter.build());
        self
    }

    pub fn query(mut self, name: &'static str, about: &'static str, schema: ObjectBuilder) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(about))
            .schema(Some(schema));
        self.parameters.push(parameter.build());
        self
    }

    /// `limit` and `cursor`, as lists have them.
    pub fn paged(self) -> Self {
        self.query("limit", "Entries of a page.", number(1, 200)).query(
            "cursor",
            "Where the page before ended: its `nextCursor`.",
            text(0, 512),
        )
    }

    pub fn header(mut self, name: &'static str, about: &'static str, schema: ObjectBuilder, required: bool) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(if required { Required::True } else { Required::False })
            .description(Some(about))
            .schema(Some(schema));
        self.parameters.push(parameter.build());
        self
    }

    /// A JSON body, with examples that work.
    pub fn body(self, schema: &'static str, examples: &[(&'static str, Value)]) -> Self {
        self.with_body(schema, Required::True, examples).refuses_all(&refusals::BODY)
    }

    /// The same where it may be left out.
    pub fn optional_body(self, schema: &'static str, examples: &[(&'static str, Value)]) -> Self {
        self.with_body(schema, Required::False, examples).refuses_all(&refusals::BODY)
    }

    fn with_body(mut self, schema: &'static str, required: Required, examples: &[(&'static str, Value)]) -> Self {
        let examples = examples.iter().map(|(name, value)| (*name, example(name, value.clone())));
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).examples_from_iter(examples);
        let body = RequestBodyBuilder::new().content("application/json", content.build()).required(Some(required));
        self.body = Some(body.build());
        self
    }

    /// A body of another type, as it comes.
    pub fn raw_body(mut self, content_type: &'static str, about: &'static str, schema: ObjectBuilder) -> Self {
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let body = RequestBodyBuilder::new().description(Some(about)).content(content_type, content);
        self.body = Some(body.required(Some(Required::True)).build());
        self
    }

    pub fn answers(self, status: u16, about: &'static str, schema: &'static str) -> Self {
        self.answers_with(status, about, "application/json", Ref::from_schema_name(schema))
    }

    pub fn answers_with(
        mut self,
        status: u16,
        about: &'static str,
        content_type: &'static str,
        schema: impl Into<RefOr<Schema>>,
    ) -> Self {
        let content = Content::new(Some(schema));
        self.answers.push((status, ResponseBuilder::new().description(about).content(content_type, content)));
        self
    }

    /// An answer without a body.
    pub fn answers_empty(mut self, status: u16, about: &'static str) -> Self {
        self.answers.push((status, ResponseBuilder::new().description(about)));
        self
    }

    /// A header of the answer that was described last.
    pub fn with_header(mut self, name: &'static str, about: &'static str) -> Self {
        if let Some((status, answer)) = self.answers.pop() {
            self.answers.push((status, answer.header(name, described(about))));
        }
        self
    }

    pub fn into_parts(self) -> (&'static str, PathItem) {
        let mut operation = OperationBuilder::new()
            .tag(self.tag)
            .summary(Some(self.summary))
            .description(self.about)
            .operation_id(Some(self.id));
        if !self.parameters.is_empty() {
            operation = operation.parameters(Some(self.parameters));
        }
        operation = operation.request_body(self.body);
        operation = match self.who {
            Who::Anyone => operation.securities(Some(Vec::new())),
            Who::Optional => operation.securities(Some([
                SecurityRequirement::default(),
                requirement(BEARER),
                requirement(SIGNATURE),
            ])),
            Who::Caller => operation.securities(Some([BEARER, SIGNATURE].map(requirement))),
        };
        let mut refused = refused(&self.refusals);
        for (status, mut answer) in self.answers {
            // One status may be both: readiness says 503 with its parts.
            if let Some(at) = refused.iter().position(|(of_it, ..)| *of_it == status) {
                let (_, _, content) = refused.remove(at);
                answer = answer.content(PROBLEM, content);
            }
            operation = operation.response(status.to_string(), answer);
        }
        for (status, slugs, content) in refused {
            operation = operation.response(status.to_string(), refusing(status, &slugs, content));
        }
        (self.path, PathItem::new(self.method, operation))
    }
}

fn requirement(scheme: &str) -> SecurityRequirement {
    SecurityRequirement::new(scheme, Vec::<String>::new())
}

/// Of each status its slugs and its problem, whose examples are what `type` may say there.
fn refused(all: &[Refusal]) -> Vec<(u16, String, Content)> {
    let mut statuses: Vec<_> = all.iter().map(|refusal| refusal.status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let of_status = |status: u16| {
        let of_it: Vec<_> = all.iter().filter(|refusal| refusal.status == status).collect();
        let mut slugs: Vec<_> = of_it.iter().map(|refusal| format!("`{}`", refusal.slug)).collect();
        slugs.sort_unstable();
        slugs.dedup();
        let examples = of_it.iter().map(|refusal| (refusal.slug, example(refusal.slug, refusal.as_problem())));
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).examples_from_iter(examples);
        (status, slugs.join(", "), content.build())
    };
    statuses.into_iter().map(of_status).collect()
}

fn refusing(status: u16, slugs: &str, content: Content) -> ResponseBuilder {
    let response =
        ResponseBuilder::new().description(format!("{}: {slugs}.", refusals::title(status))).content(PROBLEM, content);
    match status {
        401 => response.header("WWW-Authenticate", described("What would be taken (RFC 6750).")),
        429 | 503 => response.header("Retry-After", described("Seconds.")),
        _ => response,
    }
}

fn described(about: &str) -> Header {
    HeaderBuilder::new().description(Some(about)).build()
}

fn example(name: &str, value: Value) -> Example {
    ExampleBuilder::new().summary(name).value(Some(value)).build()
}

/// Of so many characters.
pub(super) fn text(least: usize, most: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(least)).max_length(Some(most))
}

/// Whatever it is: of a filter, what nothing has; of a header, what is ignored or judged by more than its form.
pub(super) fn any_text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Without control characters: names of any kind.
pub(super) fn name(most: usize) -> ObjectBuilder {
    text(1, most).pattern(Some("^[^\\u0000-\\u001f\\u007f-\\u009f]*$"))
}

pub(super) fn words(of: &[&str]) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(of.iter().copied()))
}

pub(super) fn number(least: i64, most: i64) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least)).maximum(Some(most))
}

pub(super) fn flag() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Boolean)
}

pub(super) fn uuid() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::Custom("uuid".to_owned())))
}

pub(super) fn time() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::Custom("date-time".to_owned())))
}

/// A thing that is surely not there.
pub(super) fn some_id() -> Value {
    json!("019a0000-0000-7000-8000-000000000000")
}
