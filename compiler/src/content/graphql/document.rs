//! Executable documents: the operation that would be run, and its top-level fields.
//!
//! Only the outermost selection sets are looked into; what is nested is stepped over by its
//! brackets. Directives do not matter: a field that `@skip` leaves out counts as there.

use std::collections::{HashMap, HashSet};

use super::super::Unreadable;
use super::Selection;
use super::lexer::{Lexer, Token};
use crate::block::Operation;

const BROKEN: Unreadable = Unreadable("the query is not GraphQL");

/// How deep brackets may be nested.
const DEPTH_MAX: usize = 200;
/// How deep inline fragments may be nested at the top level.
const FRAGMENTS_MAX: usize = 32;
/// Top-level fields of one request, fragments included.
const FIELDS_MAX: usize = 4096;

/// What a top-level selection set holds.
#[derive(Clone, Copy, Debug)]
enum Part<'t> {
    Field(&'t str),
    Fragment(&'t str),
}

#[derive(Debug)]
struct Found<'t> {
    operation: Operation,
    name: Option<&'t str>,
    parts: Vec<Part<'t>>,
}

/// The top-level fields of the operation that a server runs.
pub(super) fn selections(text: &str, wanted: Option<&str>) -> Result<Vec<Selection>, Unreadable> {
    let (mut operations, mut fragments) = (Vec::new(), HashMap::new());
    let mut reader = Reader::new(text)?;
    while let Some(token) = reader.take()? {
        match token {
            Token::Mark(b'{') => {
                let parts = reader.selection_set(0)?;
                operations.push(Found { operation: Operation::Query, name: None, parts });
            }
            Token::Name("query") => operations.push(reader.operation(Operation::Query)?),
            Token::Name("mutation") => operations.push(reader.operation(Operation::Mutation)?),
            Token::Name("subscription") => {
                operations.push(reader.operation(Operation::Subscription)?);
            }
            Token::Name("fragment") => {
                let (name, parts) = reader.fragment()?;
                if fragments.insert(name, parts).is_some() {
                    return Err(Unreadable("two fragments have one name"));
                }
            }
            Token::Name(_) | Token::Mark(_) | Token::Spread | Token::Literal => return Err(BROKEN),
        }
    }
    let found = chosen(&operations, wanted)?;
    let mut fields = Fields { fragments: &fragments, seen: HashSet::new(), names: Vec::new() };
    fields.add(&found.parts)?;
    let selection = |field: &str| Selection { operation: found.operation, field: field.to_owned() };
    Ok(fields.names.into_iter().map(selection).collect())
}

/// Names are unique, and one that is given must be there (specification, section 6.1).
fn chosen<'f, 't>(
    operations: &'f [Found<'t>],
    wanted: Option<&str>,
) -> Result<&'f Found<'t>, Unreadable> {
    let mut names = HashSet::new();
    let unique = operations.iter().all(|found| found.name.is_none_or(|name| names.insert(name)));
    let alone = operations.len() == 1;
    let named = operations.iter().all(|found| found.name.is_some());
    if !unique || !(alone || named) {
        return Err(Unreadable("the operations of the document are not told apart by name"));
    }
    let found = match wanted {
        Some(wanted) => operations.iter().find(|found| found.name == Some(wanted)),
        None if alone => operations.first(),
        None => None,
    };
    found.ok_or(Unreadable("it is not clear which operation is meant"))
}

/// Collects fields through fragments, each of which is looked into once.
struct Fields<'f, 't> {
    fragments: &'f HashMap<&'t str, Vec<Part<'t>>>,
    seen: HashSet<&'t str>,
    names: Vec<&'t str>,
}

impl<'t> Fields<'_, 't> {
    fn add(&mut self, parts: &[Part<'t>]) -> Result<(), Unreadable> {
        let mut waiting: Vec<Part<'t>> = parts.to_vec();
        let mut known = HashSet::new();
        while let Some(part) = waiting.pop() {
            match part {
                Part::Field(name) => {
                    if known.insert(name) {
                        self.names.push(name);
                    }
                }
                Part::Fragment(name) if self.seen.insert(name) => {
                    let parts = self.fragments.get(name);
                    let parts = parts.ok_or(Unreadable("a fragment is missing"))?;
                    waiting.extend_from_slice(parts);
                }
                Part::Fragment(_) => {}
            }
            if self.names.len() > FIELDS_MAX {
                return Err(Unreadable("the query has too many fields"));
            }
        }
        if self.names.is_empty() { Err(BROKEN) } else { Ok(()) }
    }
}

/// Reads definitions with one token of foresight.
struct Reader<'t> {
    lexer: Lexer<'t>,
    ahead: Option<Token<'t>>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Result<Self, Unreadable> {
        let mut lexer = Lexer::new(text)?;
        let ahead = lexer.next()?;
        Ok(Self { lexer, ahead })
    }

    fn take(&mut self) -> Result<Option<Token<'t>>, Unreadable> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.ahead, next))
    }

    fn name(&mut self) -> Result<&'t str, Unreadable> {
        match self.take()? {
            Some(Token::Name(name)) => Ok(name),
            Some(Token::Mark(_) | Token::Spread | Token::Literal) | None => Err(BROKEN),
        }
    }

    fn mark(&mut self, mark: u8) -> Result<(), Unreadable> {
        if self.take()? == Some(Token::Mark(mark)) { Ok(()) } else { Err(BROKEN) }
    }

    fn comes(&self, mark: u8) -> bool {
        self.ahead == Some(Token::Mark(mark))
    }

    /// What follows `query`, `mutation` or `subscription`.
    fn operation(&mut self, operation: Operation) -> Result<Found<'t>, Unreadable> {
        let name = match self.ahead {
            Some(Token::Name(name)) => {
                self.take()?;
                Some(name)
            }
            Some(Token::Mark(_) | Token::Spread | Token::Literal) | None => None,
        };
        if self.comes(b'(') {
            self.take()?;
            self.skip(b')')?;
        }
        self.directives()?;
        self.mark(b'{')?;
        Ok(Found { operation, name, parts: self.selection_set(0)? })
    }

    /// What follows `fragment`.
    fn fragment(&mut self) -> Result<(&'t str, Vec<Part<'t>>), Unreadable> {
        let name = self.name()?;
        if name == "on" || self.name()? != "on" {
            return Err(BROKEN);
        }
        self.name()?;
        self.directives()?;
        self.mark(b'{')?;
        Ok((name, self.selection_set(0)?))
    }

    /// What follows `{`, to the `}` that belongs to it.
    fn selection_set(&mut self, depth: usize) -> Result<Vec<Part<'t>>, Unreadable> {
        if depth > FRAGMENTS_MAX {
            return Err(Unreadable("the query is nested too deeply"));
        }
        let mut parts = Vec::new();
        loop {
            match self.take()? {
                Some(Token::Name(name)) => parts.push(Part::Field(self.field(name)?)),
                Some(Token::Spread) => self.spread(depth, &mut parts)?,
                Some(Token::Mark(b'}')) if !parts.is_empty() => return Ok(parts),
                Some(Token::Mark(_) | Token::Literal) | None => return Err(BROKEN),
            }
        }
    }

    /// What follows `...`: a fragment's name, or a fragment.
    fn spread(&mut self, depth: usize, parts: &mut Vec<Part<'t>>) -> Result<(), Unreadable> {
        if let Some(Token::Name(name)) = self.ahead {
            self.take()?;
            if name != "on" {
                self.directives()?;
                parts.push(Part::Fragment(name));
                return Ok(());
            }
            self.name()?;
        }
        self.directives()?;
        self.mark(b'{')?;
        parts.append(&mut self.selection_set(depth + 1)?);
        Ok(())
    }

    /// What follows the first name of a field: the name that counts.
    fn field(&mut self, first: &'t str) -> Result<&'t str, Unreadable> {
        let mut name = first;
        if self.comes(b':') {
            self.take()?;
            name = self.name()?;
        }
        if self.comes(b'(') {
            self.take()?;
            self.skip(b')')?;
        }
        self.directives()?;
        if self.comes(b'{') {
            self.take()?;
            self.skip(b'}')?;
        }
        Ok(name)
    }

    fn directives(&mut self) -> Result<(), Unreadable> {
        while self.comes(b'@') {
            self.take()?;
            self.name()?;
            if self.comes(b'(') {
                self.take()?;
                self.skip(b')')?;
            }
        }
        Ok(())
    }

    /// Everything up to the bracket that closes the one that was just taken.
    fn skip(&mut self, close: u8) -> Result<(), Unreadable> {
        let mut open = vec![close];
        while let Some(expected) = open.last().copied() {
            match self.take()?.ok_or(BROKEN)? {
                Token::Mark(b'(') => open.push(b')'),
                Token::Mark(b'[') => open.push(b']'),
                Token::Mark(b'{') => open.push(b'}'),
                Token::Mark(mark @ (b')' | b']' | b'}')) => {
                    if mark != expected {
                        return Err(BROKEN);
                    }
                    open.pop();
                }
                Token::Mark(_) | Token::Name(_) | Token::Spread | Token::Literal => {}
            }
            if open.len() > DEPTH_MAX {
                return Err(Unreadable("the query is nested too deeply"));
            }
        }
        Ok(())
    }
}
