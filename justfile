# Short names for `cargo xtask …`; all of them also work without just.

_list:
    @just --list --unsorted

# Find or install what is missing: PostgreSQL binaries, the guests' compiler, the test peers
setup:
    cargo xtask setup

# Build the plugins and the tests' guests
plugins:
    cargo xtask plugins

# All tests, over a real PostgreSQL
test *ARGS:
    cargo xtask test {{ARGS}}

# The demo; `just demo --once` tears everything down and checks the sums, `just demo --all` runs all ten job types
demo *ARGS:
    cargo xtask demo {{ARGS}}

# The commands of docs/plugin-authors.md, as an outsider would type them
tutorial:
    cargo xtask tutorial

# Refresh the checked-in SQL metadata (host/.sqlx) after a change of a query or a migration
sqlx:
    cargo xtask sqlx

# Measure, beside the peers; all rows or those named
bench *rows:
    cargo xtask bench {{rows}}

# Faults under load on three hosts, judged by counting; `just chaos --effects` counts at the providers, `just chaos --wrk` has wrk at the doors
chaos *args:
    cargo xtask chaos {{args}}

# Hostile components against a host at work; 500 without a word, 50 in CI
corpus *args:
    cargo xtask corpus {{args}}

# Strangers at the door: schemathesis over the served document, then our own list; 20,000 cases without a word, 2,000 in CI
fuzz *args:
    cargo xtask fuzz {{args}}
