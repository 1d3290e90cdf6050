#!/usr/bin/env python3
"""Writes docs/hybrids.md: the published ways to join GPUs and LPUs on one system, what limits each,
and when the transfers of attention_ffn stop being hidden.

Usage: hybrids_page.py TANDEM > docs/hybrids.md
"""
import json
import subprocess
import sys
import tempfile

SYSTEM = "vr_nvl72_lpx"
GPU = "precision: {weights: fp8, kv_cache: fp8, activations: fp8}"
LPU = "precision: {weights: fp8, kv_cache: fp8, activations: float16}"

# One model, one system, one load; only the placement differs.
MODES = {
    "GPUs alone": f"""
  mode: monolithic
  pool: gpu
  tensor: 8
  {GPU}""",
    "LPUs alone": f"""
  mode: monolithic
  pool: lpu
  tensor: 16
  pipeline: 16
  {LPU}""",
    "disaggregated: prompts on GPUs, tokens on LPUs": f"""
  mode: disaggregated
  prefill: {{pool: gpu, tensor: 8, {GPU}}}
  decode: {{pool: lpu, tensor: 16, pipeline: 16, {LPU}}}""",
    "attention_ffn: attention on GPUs, feed-forward blocks on LPUs": f"""
  mode: attention_ffn
  prefill: {{pool: gpu, tensor: 8, {GPU}}}
  attention: {{pool: gpu, attention_data: 8, micro_batches: 2,
              precision: {{weights: fp8, kv_cache: fp8, activations: bfloat16}}}}
  ffn: {{pool: lpu, tensor: 16, pipeline: 16, {LPU}}}""",
    "drafter: Llama 3.1 8B drafts on LPUs, GPUs verify": f"""
  mode: drafter
  drafts: 4
  acceptance: 0.7
  draft: {{pool: lpu, tensor: 16, pipeline: 16, {LPU}}}
  verify: {{pool: gpu, tensor: 8, {GPU}}}""",
}


def scenario(placement, users):
    draft = "draft_model: llama-3.1-8b\n" if "mode: drafter" in placement else ""
    return f"""kind: scenario
model: llama-3.1-70b
{draft}system: {SYSTEM}
placement: {placement}
serving: {{policy: vllm_v1, max_batch_tokens: 8192, max_sequences: 128, kv_block_tokens: 64}}
traffic: {{arrivals: closed, concurrency: {users}, prompt_tokens: 1024, output_tokens: 256,
          requests: {4 * users}}}
"""


def run(tandem, what, overrides=()):
    command = [tandem, "run", what, "--store", "none", "--json", "-"]
    for override in overrides:
        command += ["--set", override]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}:\n{done.stderr}")
    text = done.stdout
    return json.JSONDecoder().raw_decode(text[text.index("{"):])[0]


def words(name):
    return name.replace("_", " ")


def limits(result):
    """What the passes of every pool spend most of their time on."""
    parts = []
    for name, pool in result["pools"].items():
        shares = sorted(pool["time_shares"].items(), key=lambda item: -item[1])[:3]
        if not shares or pool["busy"] < 0.01:
            continue
        spent = ", ".join(f"{words(part)} {100 * share:.0f} %" for part, share in shares)
        parts.append(f"{name} ({100 * pool['busy']:.0f} % busy): {spent}")
    return "; ".join(parts)


def mode_rows(tandem, users):
    for name, placement in MODES.items():
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(scenario(placement, users))
            file.flush()
            result = run(tandem, file.name)
        s = result["summary"]
        used = {}
        for pool in result["pools"].values():
            used[pool["chip"]] = used.get(pool["chip"], 0) + pool["chips"] * pool["replicas"]
        chips = " + ".join(f"{count} {chip}" for chip, count in used.items())
        yield (f"| {name} | {chips} | {s['ttft_ms']['p50']:.1f} | {s['tpot_ms']['p50']:.2f} | "
               f"{s['output_tokens_per_s']:.0f} | {s['energy_j_per_output_token']:.1f} | "
               f"{s['usd_per_m_output_tokens']:.2f} | {limits(result)} |")


def sweep_rows(tandem, micro_batches, links, users):
    load = [f"traffic.concurrency={users}", f"traffic.requests={users}",
            "traffic.prompt_tokens=256", "traffic.output_tokens=32"]
    for count in micro_batches:
        cells = []
        for carrying in links:
            result = run(tandem, "deepseek_v3_afd",
                         load + [f"placement.attention.micro_batches={count}",
                                 f"placement.ffn.bridge_links={carrying}"])
            shares = result["pools"]["decode"]["time_shares"]
            bridge = 100 * shares.get("bridge", 0)
            cells.append(f"{result['summary']['itl_ms']['p50']:.2f} ({bridge:.0f} %)")
        yield f"| {count} | " + " | ".join(cells) + " |"


def main():
    tandem = sys.argv[1]
    print("""# GPUs and LPUs together

Made by `scripts/hybrids_page.py`; numbers of LP30 are estimates (`hw_configs/chips/lp30.yaml`), so
read ratios and causes before absolute figures.

## One model, one system, five placements
Llama 3.1 70B in fp8 on a Vera Rubin NVL72 beside one LPX rack; prompts of 1,024 tokens, answers of
256. The drafter's acceptance of 0.7 per token is an assumption. Times are medians; energy and cost
are those of the chips used.
""")
    for users in (2, 16):
        print(f"### {users} users\n")
        print("| placement | chips | TTFT ms | TPOT ms | tokens/s | J/token | USD/M tokens | "
              "time goes to |\n|---|---|---|---|---|---|---|---|")
        for row in mode_rows(tandem, users):
            print(row, flush=True)
        print()
    links = (32, 8, 4, 2, 1)
    users = 160
    print(f"""## When transfers stop being hidden
DeepSeek-V3 with attention on 40 GPUs and feed-forward blocks on 1,952 LPUs (`deepseek_v3_afd`),
{users} users: time between tokens in ms, median, and in brackets the share of a micro-batch's round
that it spends on the bridge, by how many of a gang's 32 bridge links carry its rows. One micro-batch
hides nothing; with more, the others compute meanwhile, until their time on the mixers' chips is
shorter than the way there and back.

| micro-batches | """ + " | ".join(f"{count} links" for count in links) + " |")
    print("|---|" + "---|" * len(links))
    for row in sweep_rows(tandem, (1, 2, 3, 4, 6), links, users):
        print(row, flush=True)


if __name__ == "__main__":
    main()
