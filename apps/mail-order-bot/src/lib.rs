#![doc = "Turns order mails into orders."]
