# What can be done here. Every target installs what it lacks on Debian, as root or with sudo; Rust, make and git are
# there.

.PHONY: help demo test lint deny bench fuzz clean

help:
	@echo 'make demo    a live server, read and written by mbpoll, pymodbus and dinrail'
	@echo 'make test    everything that must pass: tests, examples, fuzzing, other stacks, instruction counts'
	@echo 'make lint    form, clippy, documentation, licences of dependencies'
	@echo 'make deny    licences, sources and known holes of dependencies; installs cargo-deny, which takes minutes'
	@echo 'make bench   measures against other stacks, ten minutes; writes docs/performance.md'
	@echo 'make fuzz    fuzzes each target for ten minutes; FUZZ_SECONDS=N for another time'
	@echo 'make clean   removes everything that was built or installed in here'

demo:
	@scripts/demo.sh

test:
	@scripts/test.sh

lint:
	@scripts/lint.sh

deny:
	@scripts/need.sh build-essential
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	cargo deny --locked check

bench:
	@benches/setup.sh
	cargo run --release --locked --manifest-path benches/Cargo.toml -- run

fuzz:
	@scripts/need.sh build-essential
	fuzz/smoke.sh $(or $(FUZZ_SECONDS),600)

clean:
	rm -rf target examples/target benches/target benches/.work interop/.work interop/dinrail-peer/target fuzz/target fuzz/artifacts
