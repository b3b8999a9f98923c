//! What is counted of a binding, as the plan has it.

use sallygate_definitions::contract::usage as contract;
use sallygate_definitions::expand::ExpandedUsage;

use crate::plan::{ModelPrice, Period, Spend, TokenKind, Tokens, Usage};

/// What answers tell, and what it costs.
pub(super) fn usage(counted: &ExpandedUsage, connection: &str) -> Usage {
    let tokens = |rule: &contract::TokenRule| Tokens {
        kind: kind(rule.kind),
        pointers: rule.pointers.clone(),
        within: rule.within.map(kind),
    };
    let contract::UsageRule { methods, model, tokens: rules } = &counted.rule;
    Usage {
        connection_id: connection.to_owned(),
        methods: methods.clone(),
        model: model.clone(),
        tokens: rules.iter().map(tokens).collect(),
        prices: counted.prices.iter().map(price).collect(),
    }
}

/// A budget at the prices of the target, which all routes of the binding have together.
pub(super) fn spend(budget: &contract::Budget) -> Spend {
    Spend {
        limit_micros: budget.limit_micros,
        per: match budget.per {
            contract::BudgetPeriod::Total => Period::Total,
            contract::BudgetPeriod::Day => Period::Day,
        },
        assumed_micros: budget.assumed_micros,
        prices: Vec::new(),
    }
}

fn kind(kind: contract::TokenKind) -> TokenKind {
    match kind {
        contract::TokenKind::Input => TokenKind::Input,
        contract::TokenKind::CachedInput => TokenKind::CachedInput,
        contract::TokenKind::CacheWrite => TokenKind::CacheWrite,
        contract::TokenKind::Output => TokenKind::Output,
    }
}

/// Tokens that have no price of their own cost what any input costs.
fn price(price: &contract::ModelPrice) -> ModelPrice {
    let input = price.input_micros_per_million;
    ModelPrice {
        model: price.model.clone(),
        input_micros_per_million: input,
        cached_input_micros_per_million: price.cached_input_micros_per_million.unwrap_or(input),
        cache_write_micros_per_million: price.cache_write_micros_per_million.unwrap_or(input),
        output_micros_per_million: price.output_micros_per_million,
    }
}
