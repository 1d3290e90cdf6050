#!/usr/bin/env bash
# The confusion matrix of mutated LPU programs, into docs/lpu_mutation.md:
# lpu_mutation.sh PATH_OF_lpu_machine_tests [MUTANTS_PER_CLASS].
set -euo pipefail
tests=$(realpath "$1")
mutants=${2:-2000}
cd "$(dirname "$0")/.."
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
TANDEM_LPU_MUTANTS=$mutants TANDEM_LPU_MUTATION_TABLE=$rows "$tests" --gtest_filter='Mutation.*' >&2
{
  cat <<'TEXT'
# Mutated LPU programs

Made by `scripts/lpu_mutation.sh`; do not edit. Random programs that are right by construction (copies, loops, address generators, ALUs, the switch unit, planes, gathers, links) get one fault each, aimed at one hazard class; `tests/lpu/mutation.cpp` says which. Each mutant goes through the verifier and runs on the functional machine with its host register at zero and at its limit. A rejected mutant must fault or leave other rows or link vectors than the original (else it is a false reject), an accepted one must leave the same (else it is a miss). Accepted mutants are harmless changes, such as a row read two cycles after its write.

A mutant never moves an operand to a stream on which another flow has a vector in that very cell: that is another program, not a broken one, and a verifier that is not told what was meant accepts it.

| class | mutants | rejected, faults | rejected, differs | rejected, same | accepted, same | accepted, faults | accepted, differs | first reported under its own class |
|---|---|---|---|---|---|---|---|---|
TEXT
  cat "$rows"
} > docs/lpu_mutation.md
