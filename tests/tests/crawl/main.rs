//! `sinbin crawl`, and the crawler in the sandbox, against servers on loopback: sites, servers that misbehave, and other crawlers.

#![cfg(unix)]

mod bad_input;
mod encrypted;
mod lines;
mod peers;
mod sandbox;
mod saving;
mod site;
mod stopping;
mod web;
