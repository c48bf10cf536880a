//! The programs on the pages of `docs/src`, which are tests. The page on callbacks is `sinbin::guide`, and its programs are
//! tests of that module.

macro_rules! pages {
    ($($page:ident: $file:literal,)*) => {
        $(#[doc = include_str!(concat!("../../docs/src/", $file))]
        struct $page;)*
    };
}

pages! {
    Benchmarks: "benchmarks.md",
    Crawl: "crawl.md",
    Crawlers: "crawlers.md",
    Design: "design.md",
    Embedding: "embedding.md",
    FromTokio: "from-tokio.md",
    Gallery: "gallery.md",
    Glossary: "glossary.md",
    Hosts: "hosts.md",
    Http: "http.md",
    Introduction: "introduction.md",
    Limits: "limits.md",
    Metal: "metal.md",
    Names: "names.md",
    Observability: "observability.md",
    OtherLanguages: "other-languages.md",
    Playground: "playground.md",
    Protocol: "protocol.md",
    Recording: "recording.md",
    Sandbox: "sandbox.md",
    Simulator: "simulator.md",
    StateMachines: "state-machines.md",
    Tls: "tls.md",
    Tutorial: "tutorial.md",
}
