# What there is to do: `just` lists it.
default:
    @just --list --unsorted

# Serve Fibonacci numbers on 127.0.0.1:25000
serve *ARGS:
    cargo run --release -- serve fib {{ARGS}}

# The guests, into target/wasi
build-wasi:
    wasi-host/guest/build

# Serve Fibonacci numbers on 127.0.0.1:25000, from a sandbox
serve-wasi *ARGS: build-wasi
    cargo run --release --package sinbin-wasi-cli -- run target/wasi/fib.wasm {{ARGS}}

# All tests
test:
    cargo test --workspace

# Scripted conversations with all hosts, or some: the table of both
dialogues *ARGS:
    cargo run --package sinbin-tests --bin dialogues -- {{ARGS}}

# All that must hold before a change lands
ci:
    .ci/run

# The checks that take longer: seeds, states, bytes, miri, minimal; or some of them
long *STEPS:
    .ci/long {{STEPS}}

# sinbin beside its peers, in one interleaved run: the README's table (minutes; Linux, valgrind)
bench *ARGS:
    cargo bench --package sinbin-tests --bench compare -- {{ARGS}}

# Bad luck, seed after seed, in virtual time: --seeds N, or --seed N --trace
simulate *ARGS:
    cargo run --release --package sinbin-tests --bin simulate -- {{ARGS}}

# Each fuzz target for a moment, or those that are named (Linux on x86_64; fetches nightly and cargo-fuzz)
fuzz *TARGETS:
    .ci/fuzz {{TARGETS}}

# How much of the core its own tests run
coverage:
    .ci/coverage

# The talk's six servers in turn, and which of them let a fast client down: [SECONDS [N]] for each, beside fib(N)
talk *ARGS:
    cargo build --release --package sinbin --package sinbin-cli --bin sinbin --example 'talk*'
    cargo run --release --package sinbin --example talk -- {{ARGS}}

# Lines of scheduler, wait tables and timers, comments and all; curio's kernel, the model, has 858
lines:
    @cat core/src/kernel.rs core/src/kernel/task_slot.rs core/src/kernel/queue.rs core/src/kernel/wait_tables.rs core/src/kernel/wait_slot.rs core/src/kernel/timers.rs | wc -l

# Proof that the core needs no allocator
no-alloc:
    .ci/no-alloc

# The core's tests of tasks under miri (fetches a nightly toolchain)
miri:
    .ci/miri

# Licences, sources and known advisories of all dependencies (fetches cargo-deny)
deny:
    .ci/deny

# Format everything
fmt:
    cargo fmt --all
