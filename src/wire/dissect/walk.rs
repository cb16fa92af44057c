//! Values -> nodes. What is described by the specification is named by it.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::findings::Findings;
use super::{Fault, MAX_NODES, Node, token};
use crate::wire::descriptors::{self, Descriptor, Field, Form, Holds};
use crate::wire::management::SECURITY_TOKEN;
use crate::wire::secret::{self, MASK};
use crate::wire::value::{DecodeError, Elements, Kind, MAX_DEPTH, Reader, Value, kind_of};

/// Nothing can be read on: the fault is told.
#[derive(Debug)]
pub(super) struct Broken;

/// A place in the input from which values are read.
pub(super) struct Walker<'a> {
    input: &'a Bytes,
    reader: Reader<'a>,
    pub(super) findings: &'a mut Findings,
    depth: usize,
}

impl<'a> Walker<'a> {
    pub(super) fn new(input: &'a Bytes, range: Range<usize>, findings: &'a mut Findings) -> Self {
        Self { input, reader: Reader::within(input, range), findings, depth: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.reader.at()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.reader.is_at_end()
    }

    pub(super) fn left(&self) -> Range<usize> {
        self.reader.left()
    }

    /// Whether a tree may grow; if not, that is told.
    pub(super) fn may_go_on(&mut self) -> bool {
        if !self.has_room() {
            let fault = Fault::new(self.at(), format!("a tree of at most {MAX_NODES} parts"), "more");
            self.break_with(fault, self.left().end);
            return false;
        }
        true
    }

    fn has_room(&self) -> bool {
        self.findings.nodes_left > 0
    }

    /// Reads one value into `nodes`, as much of it as there is. A performative or section has its own name.
    pub(super) fn whole_value(&mut self, nodes: &mut Vec<Node>) -> Result<(), Broken> {
        let left = self.left();
        let mut node = Node::new("value", "", left.start..left.start);
        let read = self.value(&mut node, Holds::Any);
        if let Some(role) = descriptors::by_name(node.kind).and_then(Descriptor::role) {
            (node.name, node.kind) = (node.kind.into(), role);
        }
        if !node.kind.is_empty() {
            nodes.push(node);
        }
        let is_login =
            nodes.last().is_some_and(|node| node.range.start == left.start && node.name.starts_with("sasl-"));
        read.map_err(|error| {
            let first_rest = self.findings.rests.len();
            let broken = self.break_off(error, left.end);
            if is_login {
                // A part of it may be in what is left.
                self.findings.hide_rests(first_rest);
            }
            broken
        })
    }

    /// Notes that a value could not be read. What is cut off breaks where the bytes end, not where it begins.
    fn break_off(&mut self, error: DecodeError, end: usize) -> Broken {
        let cut_at = self.left().end;
        let (from, fault) = match error {
            DecodeError::Truncated { at, expected } if at < cut_at => {
                (at, Fault::new(cut_at, format!("the rest of {expected}"), "the end"))
            }
            other => {
                let fault = Fault::from(other);
                (fault.at, fault)
            }
        };
        self.findings.stop(fault, from.min(end)..end);
        Broken
    }

    /// Notes a fault behind which nothing is read up to `end`.
    pub(super) fn break_with(&mut self, fault: Fault, end: usize) -> Broken {
        let rest = fault.at.min(end)..end;
        self.findings.stop(fault, rest);
        Broken
    }

    /// Reads a value into `node`, which has its name already.
    fn value(&mut self, node: &mut Node, holds: Holds) -> Result<(), DecodeError> {
        let at = self.reader.at();
        node.range.start = node.range.start.min(at);
        self.findings.nodes_left = self.findings.nodes_left.saturating_sub(1);
        let result = self.reader.byte("a value").and_then(|code| match code {
            0x00 => self.nested(at, |walker| walker.described(node, holds)),
            code => self.content(node, code, at, holds),
        });
        node.range.end = self.reader.at();
        result?;
        if let Some(kind) = kind_at(self.input, at)
            && kind != Kind::Null
            && !holds.takes(kind)
        {
            self.findings.faults.push(Fault::new(at, holds.name(), kind.name()));
        }
        Ok(())
    }

    /// Reads what stands behind a constructor.
    fn content(&mut self, node: &mut Node, code: u8, at: usize, holds: Holds) -> Result<(), DecodeError> {
        node.kind = kind_of(code).map_or("", Kind::name);
        match code {
            0x45 => self.nested(at, |_| Ok(())),
            0xc0 | 0xd0 => self.nested(at, |walker| walker.list(node, code)),
            0xc1 | 0xd1 => self.nested(at, |walker| walker.map(node, code)),
            0xe0 | 0xf0 => self.nested(at, |walker| walker.array(node, code)),
            _ => {
                let value = self.reader.primitive(code, at)?;
                self.leaf(node, value, holds);
                Ok(())
            }
        }
    }

    fn nested<T>(
        &mut self,
        at: usize,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if self.depth == MAX_DEPTH {
            return Err(DecodeError::TooDeep { at });
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// Puts a value without parts into `node`, masked where that is due.
    fn leaf(&mut self, node: &mut Node, value: Value, holds: Holds) {
        node.note = holds.meaning(&value).map(Cow::Borrowed);
        let content = content_of(&value, self.reader.at());
        let is_hidden = match &value {
            // Whatever type it was given.
            Value::Binary(_) | Value::String(_) | Value::Symbol(_)
                if holds == Holds::Login && self.findings.masks() =>
            {
                self.findings.hide(content.clone());
                !content.is_empty()
            }
            Value::Binary(_) | Value::String(_) | Value::Symbol(_) => {
                self.findings.look_through(&self.input[content.clone()], content.start)
            }
            _ => false,
        };
        node.value = Some(if is_hidden { masked(value, holds) } else { value });
        if node.name == SECURITY_TOKEN && node.key.is_some() {
            token::explain(node, &self.input[content.clone()], content, self.findings);
        }
    }

    fn list(&mut self, node: &mut Node, code: u8) -> Result<(), DecodeError> {
        let fields = self.reader.enter(code, "a list")?;
        self.reader.bound(&fields)?;
        self.items(node, fields.count)?;
        self.reader.leave(&fields, "the list")
    }

    fn items(&mut self, node: &mut Node, count: usize) -> Result<(), DecodeError> {
        for index in 0..count {
            if !self.has_room() {
                self.leave_out(node, count - index);
                break;
            }
            self.child(node, Node::new(format!("[{index}]"), "", self.at()..self.at()), Holds::Any)?;
        }
        Ok(())
    }

    /// Reads a value into a child, which is kept as far as it goes.
    fn child(&mut self, parent: &mut Node, mut child: Node, holds: Holds) -> Result<(), DecodeError> {
        let read = self.value(&mut child, holds);
        if read.is_ok() || !child.kind.is_empty() {
            parent.children.push(child);
        }
        read
    }

    fn leave_out(&mut self, node: &mut Node, count: usize) {
        self.reader.pass();
        node.note = Some(format!("{count} more are not shown").into());
    }

    fn map(&mut self, node: &mut Node, code: u8) -> Result<(), DecodeError> {
        let fields = self.reader.enter(code, "a map")?;
        let fields = self.reader.even(fields)?;
        self.reader.bound(&fields)?;
        for index in 0..fields.count / 2 {
            if !self.has_room() {
                self.leave_out(node, fields.count / 2 - index);
                break;
            }
            self.entry(node, index)?;
        }
        self.reader.leave(&fields, "the map")
    }

    /// A key that is a text or a number names its value; any other stands beside it.
    fn entry(&mut self, map: &mut Node, index: usize) -> Result<(), DecodeError> {
        let start = self.at();
        let mut key = Node::new("key", "", start..start);
        let read = self.value(&mut key, Holds::Any);
        let Some(name) = key.value.as_ref().filter(|_| read.is_ok()).and_then(name_of) else {
            let mut entry = Node::new(format!("[{index}]"), "entry", start..start);
            if !key.kind.is_empty() {
                entry.children.push(key);
            }
            let value =
                read.and_then(|()| self.child(&mut entry, Node::new("value", "", self.at()..self.at()), Holds::Any));
            entry.range.end = self.at();
            map.children.push(entry);
            return value;
        };
        let key = key.value.as_ref().map(Value::kind);
        self.child(map, Node { key, ..Node::new(name, "", start..start) }, Holds::Any)
    }

    fn array(&mut self, node: &mut Node, code: u8) -> Result<(), DecodeError> {
        let (fields, elements) = self.reader.enter_array(code)?;
        if let Some(Elements { descriptor, code }) = elements {
            let described = |name: String| format!("each described by {}", secret::masked(&name)).into();
            node.note = descriptor.as_ref().and_then(name_of).map(described);
            for index in 0..fields.count {
                if !self.has_room() {
                    self.leave_out(node, fields.count - index);
                    break;
                }
                self.element(node, index, code)?;
            }
        }
        self.reader.leave(&fields, "the array")
    }

    fn element(&mut self, array: &mut Node, index: usize, code: u8) -> Result<(), DecodeError> {
        let at = self.at();
        self.findings.nodes_left = self.findings.nodes_left.saturating_sub(1);
        let mut node = Node::new(format!("[{index}]"), "", at..at);
        let read = self.content(&mut node, code, at, Holds::Any);
        node.range.end = self.at();
        array.children.push(node);
        read
    }

    /// Reads the descriptor, and what stands behind it.
    fn described(&mut self, node: &mut Node, holds: Holds) -> Result<(), DecodeError> {
        let at = self.at();
        node.kind = "described";
        let mut descriptor = Node::new("descriptor", "", at..at);
        let read = self.value(&mut descriptor, Holds::Any);
        match descriptor.value.as_ref().filter(|_| read.is_ok()).and_then(descriptor_of) {
            Some(known) => {
                node.kind = known.name;
                self.known(node, known, holds)
            }
            None => {
                if !descriptor.kind.is_empty() {
                    node.children.push(descriptor);
                }
                read?;
                self.child(node, Node::new("value", "", self.at()..self.at()), Holds::Any)
            }
        }
    }

    fn known(&mut self, node: &mut Node, known: &'static Descriptor, holds: Holds) -> Result<(), DecodeError> {
        match known.form {
            Form::Fields(fields) if self.is_list() => self.fields(node, fields, known.name),
            Form::Fields(_) => self.in_place_of_fields(node),
            form => {
                let (at, kind) = (self.at(), node.kind);
                let code = self.reader.byte("a value")?;
                let read = match code {
                    0x00 => self.nested(at, |walker| walker.child_of_section(node, at)),
                    code => self.content(node, code, at, holds),
                };
                // It is what its descriptor says, broken or not.
                node.kind = kind;
                read?;
                self.check_form(form, at);
                Ok(())
            }
        }
    }

    /// Whether a list is next, or nothing at all: which of them is seen when it is read.
    fn is_list(&self) -> bool {
        matches!(self.input[self.left()], [] | [0x45 | 0xc0 | 0xd0, ..])
    }

    /// Reads what should be a list, and is another value.
    fn in_place_of_fields(&mut self, node: &mut Node) -> Result<(), DecodeError> {
        let at = self.at();
        self.child(node, Node::new("value", "", at..at), Holds::Any)?;
        let found = node.children.last().map_or("another value", |value| value.kind);
        self.findings.faults.push(Fault::new(at, "a list", found));
        Ok(())
    }

    /// A described value in a section that takes any.
    fn child_of_section(&mut self, node: &mut Node, at: usize) -> Result<(), DecodeError> {
        let mut child = Node::new("value", "", at..at);
        let read = self.described(&mut child, Holds::Any);
        child.range.end = self.at();
        node.children.push(child);
        read
    }

    fn check_form(&mut self, form: Form, at: usize) {
        let expected = match form {
            Form::Map => Kind::Map,
            Form::Binary => Kind::Binary,
            Form::List => Kind::List,
            Form::Fields(_) | Form::Value => return,
        };
        if let Some(found) = kind_at(self.input, at).filter(|found| *found != expected) {
            self.findings.faults.push(Fault::new(at, expected.name(), found.name()));
        }
    }

    /// Reads a list whose places have names.
    fn fields(&mut self, node: &mut Node, fields: &'static [Field], name: &'static str) -> Result<(), DecodeError> {
        let at = self.at();
        let list = self.reader.enter_list("a list")?;
        self.reader.bound(&list)?;
        for index in 0..list.count {
            if !self.has_room() {
                self.leave_out(node, list.count - index);
                break;
            }
            let field = fields.get(index);
            if field.is_none() {
                let most = format!("no more than {} fields in {name}", fields.len());
                self.findings.faults.push(Fault::new(self.at(), most, "another one"));
            }
            let name = field.map_or_else(|| format!("[{index}]").into(), |field| Cow::Borrowed(field.name));
            self.child(node, Node::new(name, "", self.at()..self.at()), field.map_or(Holds::Any, |field| field.holds))?;
        }
        self.reader.leave(&list, "the list")?;
        self.check_mandatory(node, fields, at);
        Ok(())
    }

    fn check_mandatory(&mut self, node: &Node, fields: &'static [Field], at: usize) {
        for (index, field) in fields.iter().enumerate().filter(|(_, field)| field.is_mandatory) {
            let child = node.children.get(index);
            if child.is_none_or(|child| child.value == Some(Value::Null)) {
                let found = if child.is_some() { "null" } else { "the end of the list" };
                let at = child.map_or(at, |child| child.range.start);
                self.findings.faults.push(Fault::new(
                    at,
                    format!("{} of type {}", field.name, field.holds.name()),
                    found,
                ));
            }
        }
    }
}

/// Where the content of a value stands that ends at `end`.
fn content_of(value: &Value, end: usize) -> Range<usize> {
    let len = match value {
        Value::Binary(bytes) => bytes.len(),
        Value::String(text) | Value::Symbol(text) => text.len(),
        _ => 0,
    };
    end - len..end
}

/// The value with what looks like a secret in it overwritten; a login as a whole.
fn masked(value: Value, holds: Holds) -> Value {
    match value {
        Value::Binary(_) | Value::String(_) | Value::Symbol(_) if holds == Holds::Login => MASK.into(),
        Value::Binary(bytes) => {
            let mut bytes = bytes.to_vec();
            secret::overwrite(&mut bytes);
            bytes.into()
        }
        Value::String(text) => secret::masked(&text).into(),
        Value::Symbol(text) => Value::Symbol(secret::masked(&text)),
        other => other,
    }
}

/// The type of the value that stands at `at`.
fn kind_at(input: &Bytes, at: usize) -> Option<Kind> {
    match *input.get(at)? {
        0x00 => Some(Kind::Described),
        code => kind_of(code),
    }
}

/// A key or descriptor, as a name.
pub(super) fn name_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) | Value::Symbol(text) => Some(text.clone()),
        Value::Ulong(code) if *code > 0xff => Some(format!("{code:#x}")),
        other => other.as_i64().map(|number| number.to_string()),
    }
}

fn descriptor_of(value: &Value) -> Option<&'static Descriptor> {
    match value {
        Value::Ulong(code) => descriptors::by_code(*code),
        Value::Symbol(symbol) => descriptors::by_symbol(symbol.as_bytes()),
        _ => None,
    }
}
