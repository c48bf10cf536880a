# List all recipes
default:
    @just --list --unsorted

# Serve Fibonacci numbers on 127.0.0.1:25000
serve *ARGS:
    cargo run --release -- serve fib {{ARGS}}

# Build the guests into target/wasi
build-wasi:
    wasi-host/guest/build

# Serve Fibonacci numbers on 127.0.0.1:25000, from a sandbox
serve-wasi *ARGS: build-wasi
    cargo run --release --package sinbin-wasi-cli -- run target/wasi/fib.wasm {{ARGS}}

# Boot a service as firmware in QEMU: fib, echo or upper, until Ctrl-C (needs qemu-system-arm)
metal SERVICE="fib" *ARGS:
    metal/firmware/run {{SERVICE}} {{ARGS}}

# Run the tests of the core and the native host that take less than a minute on two cores, after the first build
quick:
    cargo test --locked --package sinbin-core --package sinbin --package sinbin-cli --lib --bins \
      --test driven --test engine --test executor --test serving --test sync --test tasks

# Run all tests, which takes half an hour
test:
    cargo test --workspace

# Play scripted conversations with all hosts, or some, and print the table of results
dialogues *ARGS:
    cargo run --package sinbin-tests --bin dialogues -- {{ARGS}}

# Run all checks that must pass before a change lands
ci:
    .ci/run

# Run the checks that take longer: seeds, states, bytes, miri, minimal; or some of them
long *STEPS:
    .ci/long {{STEPS}}

# Compare sinbin with its peers in one interleaved run: the tables of docs/src/benchmarks.md (minutes; Linux, valgrind)
bench *ARGS:
    cargo bench --package sinbin-tests --bench compare -- {{ARGS}}

# Simulate faults, seed after seed, in virtual time: --seeds N, or --seed N --trace
simulate *ARGS:
    cargo run --release --package sinbin-tests --bin simulate -- {{ARGS}}

# Run each fuzz target for a moment, or the named ones (Linux on x86_64; fetches nightly and cargo-fuzz)
fuzz *TARGETS:
    .ci/fuzz {{TARGETS}}

# Report how much of the core its own tests run
coverage:
    .ci/coverage

# Run the talk's six servers in turn, and show which of them neglect a fast client: [SECONDS [N [OPTION…]]] for each, beside fib(N)
talk *ARGS:
    cargo build --release --package sinbin-talk --package sinbin-cli --bin sinbin --examples
    cargo run --release --package sinbin-talk --example talk -- {{ARGS}}

# Run the tutorials' seven crawlers on one site, and compare their time, size and errors: [compare [MILLISECONDS a page]]
crawl *ARGS:
    cargo run --package sinbin-gallery --example crawl -- {{ARGS}}

# Not counted, although a reader of the whole needs them: step.rs, slab.rs and exec/executor.rs.
# Count the lines of scheduler, wait tables and timers, comments included; curio's kernel, the model, has 858
lines:
    @cat core/src/kernel.rs core/src/kernel/task_slot.rs core/src/kernel/queue.rs core/src/kernel/wait_tables.rs core/src/kernel/wait_slot.rs core/src/kernel/timers.rs | wc -l

# Build the playground, a page in which the core runs step by step: target/playground/index.html
playground:
    playground/build

# Make the screenshots of the monitor's page again, in docs/src (needs chromium and pngquant)
monitor-pictures:
    cargo test --workspace --test monitor -- --ignored --exact pictures::pictures

# Build the book from the pages of docs/src, into target/book, with the playground (fetches mdbook)
book: playground
    .ci/book

# Prove that the core needs no allocator
no-alloc:
    .ci/no-alloc

# Run the core's task tests under miri (fetches a nightly toolchain)
miri:
    .ci/miri

# Check licences, sources and known advisories of all dependencies (fetches cargo-deny)
deny:
    .ci/deny

# Format everything
fmt:
    cargo fmt --all
