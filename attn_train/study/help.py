"""What attn-study --help prints."""

HELP = """\
attn-study: train arms and seeds until it is known whether each arm helps, or the budget is spent.

  attn-study [FILE.yaml] [SETTING=VALUE] ...

arms=LIST             mechanisms, 'arms=[none,gated]', or sections of words that an arm may have (model, model.NAME,
                      backbone.placement.NAME, control): 'arms=[none,{model:se,model.reduction:8}]'
recipe=LIST           words of attn-train that all arms share: 'recipe=[+experiment=quick,dataset.root=data]'
baseline=none         the arm that the others are compared with
metric=accuracy       or val_accuracy, loss, nll, brier, ece, ece_scaled, train_seconds, images_per_second,
                      peak_memory_bytes; with eval.corruptions=all in the recipe also corruption_accuracy,
                      noise_accuracy, blur_accuracy, weather_accuracy, digital_accuracy, corruption_drop: what the
                      arms are judged by, fixed before the first run; any other is secondary
margin=NUMBER         a gain worth having, in points of accuracy, in per cent of loss, nll, time and memory; only the
                      demonstration has one of its own, 1 point
max_seeds=12          at most; fixed before the first run
baseline_seeds=null   of the baseline, which all arms share; null: 1.75 times max_seeds for three or more arms
first_seed=0          seeds are first_seed, first_seed + 1, ...
budget.minutes=null   of runs, whatever interrupts them; no round begins that would end later
budget.runs=null      of all arms together
plugins=FILE.py       whose modules are mechanisms too: 'arms=[none,MyAttention]'
sweep=NAME            of the study's folder, outputs/NAME; default: made of everything above but the budget
FILE.yaml             the same settings, a line each: 'arms: [none, gated]'

Without any setting it is a demonstration on digits: minutes, and nothing to download.

Each run is one of attn-train, in a process of its own. Seed by seed all arms are trained that still wait for a verdict:
helps, hurts, equivalent (within the margin), gains less (than the margin). With 95 % confidence all verdicts of a study
are right, although it looks at the runs after every seed and stops when it likes (group-sequential t intervals, shared
out among the arms); before 5 seeds there is none. An arm is stopped, undecided, where a verdict by max_seeds has become
less than 10 % likely. Before the first run and after each round it says how likely verdicts are.

The same command again goes on where it was: finished runs are kept, others resumed. To go on past max_seeds, make
another study with further seeds. A run that fails is listed and stops no other; an arm that fails twice in a row for
the same reason is dropped. The exit code is then that of the first failed run.

In the study's folder: a folder for each run, runs.jsonl (a row for each run that ended), study.json (the verdicts), and
report/report.html, to look at in a browser.

Examples
  attn-study
  attn-study 'arms=[none,gated,{model:gated,control:parameters},placebo_shuffled]' \\
    'recipe=[+experiment=quick]' margin=0.2 max_seeds=20 budget.minutes=600
  attn-study study.yaml budget.minutes=60"""
