use sdk::Refusal;
use serde::{Deserialize, Serialize};

/// The one currency so far, and that of all balances of shape 1.
const CURRENCY: &str = "USD";

/// A document of table `accounts`, shape 2, under the account's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What stands before the last blank of the owner's name; `null` for a name without a blank, which is not the same
    /// as the empty text before a blank that comes first. So every name of shape 1 comes back as it was.
    pub first: Option<String>,
    /// What stands after the last blank, or the whole name.
    pub last: String,
    /// What the account holds.
    pub balance: Balance,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Cents.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
}

impl Balance {
    /// Adds cents.
    ///
    /// # Errors
    /// The sum cannot be held.
    pub fn add(&mut self, amount: i64) -> Result<(), Refusal> {
        self.amount = self.amount.checked_add(amount).ok_or_else(crate::too_large)?;
        Ok(())
    }
}

/// Shape 1 of the document, as version 1 writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape1 {
    owner: String,
    balance: i64,
}

impl Account {
    /// An account of an owner whose name is still in one piece, with a balance in cents.
    #[must_use]
    pub fn new(owner: &str, balance: i64) -> Self {
        let (first, last) = match owner.rsplit_once(' ') {
            Some((first, last)) => (Some(first.to_owned()), last.to_owned()),
            None => (None, owner.to_owned()),
        };
        Account {
            first,
            last,
            balance: Balance {
                amount: balance,
                currency: CURRENCY.to_owned(),
            },
        }
    }

    /// Up.
    pub(crate) fn from_shape_1(old: Shape1) -> Self {
        Account::new(&old.owner, old.balance)
    }

    /// Down, the inverse of up for every document that this version writes.
    ///
    /// # Errors
    /// Shape 1 has no place for another currency.
    pub(crate) fn into_shape_1(self) -> Result<Shape1, Refusal> {
        if self.balance.currency != CURRENCY {
            return Err(Refusal::coded(
                "no_way_down",
                format!("shape 1 holds {CURRENCY} alone, not {}", self.balance.currency),
            ));
        }
        let owner = match self.first {
            Some(first) => first + " " + &self.last,
            None => self.last,
        };
        Ok(Shape1 {
            owner,
            balance: self.balance.amount,
        })
    }
}
