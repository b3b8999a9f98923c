//! What the answers of a binding's routes cost, and how much it may be.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Expansion;
use crate::contract::usage::{Budget, BudgetPeriod, ModelPrice, UsageRule};

/// What is counted of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandedUsage {
    pub rule: UsageRule,
    /// Empty: the target has no table.
    pub prices: Vec<ModelPrice>,
    pub budget: Option<Budget>,
}

/// Properties of the target and of the binding that a definition with `usage` may have.
pub(crate) const PRICES: &str = "prices";
pub(crate) const BUDGET: &str = "budgetMicros";
const PERIOD: &str = "budgetPer";
pub(crate) const ASSUMED: &str = "assumedMicros";

impl Expansion<'_> {
    /// `None` when nothing is counted, or when there are issues, which are reported.
    pub(super) fn usage(&mut self) -> Option<ExpandedUsage> {
        let rule = self.definition.usage.clone()?;
        let prices: Vec<ModelPrice> =
            self.read(self.scope.target.get(PRICES), "targetConfig.prices").unwrap_or_default();
        let budget = self.budget();
        if budget.is_some() && prices.is_empty() {
            let message = "a budget needs the `prices` of the target".to_owned();
            self.refuse("budget_without_prices", format!("bindingConfig.{BUDGET}"), message);
        }
        Some(ExpandedUsage { rule, prices, budget })
    }

    fn budget(&mut self) -> Option<Budget> {
        let field = |name: &str| format!("bindingConfig.{name}");
        let given = |name: &str| self.scope.binding.get(name).cloned();
        let (limit, per, assumed) = (given(BUDGET)?, given(PERIOD), given(ASSUMED));
        let limit_micros = self.read(Some(&limit), &field(BUDGET))?;
        let per: Option<BudgetPeriod> = self.read(per.as_ref(), &field(PERIOD));
        let Some(assumed) = assumed else {
            let message = format!("a budget needs `{ASSUMED}`");
            self.refuse("budget_without_assumption", field(ASSUMED), message);
            return None;
        };
        let assumed_micros = self.read(Some(&assumed), &field(ASSUMED))?;
        Some(Budget { limit_micros, per: per.unwrap_or_default(), assumed_micros })
    }

    /// `None` when it is not there, or not what it should be, which is reported.
    fn read<T: DeserializeOwned>(&mut self, value: Option<&Value>, field: &str) -> Option<T> {
        match serde_json::from_value(value?.clone()) {
            Ok(read) => Some(read),
            Err(error) => {
                self.refuse("usage_value", field, format!("`{field}`: {error}"));
                None
            }
        }
    }
}
