//! The protocol block of a route, with the binding's lists in it.

use serde_json::Value;

use super::Expansion;
use crate::contract::route::{Protocol, RouteTemplate};
use crate::template::{Filter, Template, TemplateError};

impl Expansion<'_> {
    /// The block of a route, or `None` where a list that the definition fills came out empty: no
    /// list means everything, so the route would be broader because less was bound.
    pub(super) fn protocol(&mut self, template: &RouteTemplate) -> Option<Option<Protocol>> {
        let Some(mut protocol) = template.protocol.clone() else { return Some(None) };
        for list in lists(&mut protocol) {
            if list.is_empty() {
                continue;
            }
            match self.filled(list) {
                Ok(filled) if filled.is_empty() => return None,
                Ok(filled) => *list = filled,
                Err(error) => {
                    let message = format!("route `{}`: {error}", template.name);
                    self.refuse("template_value", "bindingConfig", message);
                    return None;
                }
            }
        }
        Some(Some(protocol))
    }

    fn filled(&self, texts: &[String]) -> Result<Vec<String>, TemplateError> {
        let mut filled = Vec::with_capacity(texts.len());
        for text in texts {
            let template = Template::parse(text)?;
            let list = template.sole_reference().and_then(|list| list.find(&self.scope));
            match list.and_then(Value::as_array) {
                Some(items) => {
                    filled.extend(items.iter().filter_map(Value::as_str).map(str::to_owned));
                }
                None => filled.push(template.render(&self.scope, Filter::Raw)?),
            }
        }
        filled.sort_unstable();
        filled.dedup();
        Ok(filled)
    }
}

/// The lists of texts of a block.
pub(crate) fn lists(protocol: &mut Protocol) -> Vec<&mut Vec<String>> {
    match protocol {
        Protocol::Git { refs, .. } => vec![refs],
        Protocol::Graphql { fields, .. } => vec![fields],
        Protocol::Mcp { methods, tools } => vec![methods, tools],
        Protocol::Grpc { .. } => Vec::new(),
    }
}
