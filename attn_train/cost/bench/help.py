"""What attn-bench --help prints."""

HELP = """\
attn-bench: measure what attention costs: parameters, multiply-adds, time and memory, and how they grow with the map.

  attn-bench [SETTING=VALUE] ...

models=LIST           mechanisms, 'models=[none,gated]'; with options 'models=[{name:gated,branches:1}]'; default: all
sizes=LIST            sides of the feature maps, like 'sizes=[32,8]'
channels=LIST         of each of the sizes, like 'channels=[64,256]', or one number for all
batch=128             images at once
scaling=true          instead, at batch 1: the exponent of time and memory against the number of tokens, 8x8 to 128x128
points=3              largest sizes that the exponent is taken over
rounds=3              over all cells; each cell in a process of its own, each round in another order
repetitions=5         timings in each process
sample_seconds=0.02   that a timing lasts at least
time_limit=120        seconds for a cell in one round; past it: too slow
memory_limit=null     bytes for a cell; past it: out of memory; null: four fifths of what is free
runs=LIST             finished runs of attn-train, 'runs=[RUN,RUN]', to draw their accuracy against their cost; models,
                      maps, batch and device are theirs where not given
plugins=FILE.py       whose modules are mechanisms too
output=FOLDER         for bench.csv, bench.json and bench.png; default: outputs/DATE/TIME_bench_ID
seed=0                of the order and the inputs
device=auto           or cpu, cuda, mps; with device.precision, .channels_last, .compile, .threads as in attn-train

Time is the median (lower-upper quartile) of a call; a training step is forward and backward. Memory is the peak above
what was in use before: of CUDA's allocator, else of the process. Multiply-adds are of one image. The interval of an
exponent is of repetition: it says what other rounds would give on these maps, not whether the exponent has settled; for
that the slopes between the three largest maps stand beside it.

Examples
  attn-bench 'models=[none,gated,self_attention]' device=cpu device.threads=1
  attn-bench scaling=true 'models=[gated,self_attention]' rounds=5
  attn-bench 'runs=[outputs/2026-01-31/12-00-00_gated_cifar10_a1b2c3]'     what attn-compare bench=FOLDER asks for"""
