"""What attn-compare --help prints."""

HELP = """\
attn-compare: does this attention help, by how much, at what cost? An answer from finished runs.

  attn-compare PATH... [SETTING=VALUE] ...

PATH                  run folders, sweeps' folders, or folders of those, links among them; or FILE.csv, which lists runs
                      of elsewhere: a first line arm,seed,accuracy (in per cent; empty: failed), total if you have it
metric=accuracy       or val_accuracy, loss, nll, brier, ece, ece_scaled, train_seconds, images_per_second,
                      peak_memory_bytes: what the runs are compared by; loss, time and memory as ratios, in per cent;
                      ece is the calibration error, a share between 0 and 1. Of runs that attn-eval corruptions=all
                      tested: corruption_accuracy, noise_accuracy, blur_accuracy, weather_accuracy, digital_accuracy,
                      corruption_drop. Default: what the study that they are of was begun with, else accuracy
margin=0.2            a difference that is surely smaller counts as none, in the metric's unit; default: 0.2 points of
                      accuracy, 1 % of loss and nll, 0.002 of brier, 0.005 of ece, 5 % of time and memory, 0.5 points
                      under corruption
max_seeds=N           the most seeds that an arm may come to, said at the first look: the verdicts then hold at every
                      look up to there, not at one alone. A study's folder is judged by the study's own rule
combine=recipes       runs of several recipes or data sets: each is compared by itself, then all give one verdict, with
                      equal weights. It is about these, not about new ones. combine=studies adds up the folders named,
                      studies of the same arms with other seeds, by their numbers of seeds
against=FOLDER        stored runs: each arm is held against its own runs there; where the arm without attention alone is
                      stored, or baseline=NAME given, all against that. With expect=no_loss a check for CI
baseline=NAME         what to compare with, as the tables name it; default: the arm without attention
bench=FOLDER          that attn-bench 'runs=[RUN]' wrote, for time and memory; default: what the runs noted, roughly
split=auto            or val, test: the accuracy that is compared; auto: val where all runs held images out
images=auto           or true, false: read the runs' predictions, for calibration and what holds of other images; auto:
                      up to 400 MB (1,000 runs of CIFAR-10), and test images are resampled where an arm has fewer than 5
                      seeds
curves=50             runs of an arm that its learning curve is made of
output=FOLDER         for the report; default: outputs/DATE/TIME_compare_ID
format=text           or markdown, latex, csv, or json in one line: what is printed, for papers and scripts
expect=VERDICT        helps, hurts, equivalent, gains_less, undecided, not_ before one, or no_loss (as large as the
                      margin): ends with exit code 7 where an arm has another verdict, or such a loss is not excluded;
                      of single arms: 'expect=gated:helps;se:not_hurts'

All runs count, whether both arms have their seeds or not; they must differ in nothing but the arm (mechanism, its
settings, its place, control) and the seed. An arm helps or hurts where its difference is not chance (95 %, corrected
for the number of arms), is equivalent where it surely lies within the margin, gains less (than the margin) where it
surely lies below it, and is undecided otherwise: then the table says how many more seeds it wants.
No verdict is given, but why not: identical (the same loss in every run), confounded (one arm on another device or
version than the other), failing (runs broke off), preliminary (fewer than 5 seeds).

It leaves report.html, to look at in a browser, report.md, compare.csv, compare.json, and learning curves, mean and
deviation over the runs of an arm, for TensorBoard.

Examples
  attn-train -m dataset=cifar10 model=none,gated,se seed=0,1,2,3,4 sweep=try
  attn-compare outputs/try
  attn-compare outputs/try outputs/more margin=0.1 bench=outputs/2026-01-31/12-00-00_bench_a1b2c3
  attn-compare outputs/digits outputs/cifar10 combine=recipes
  attn-compare outputs/today against=outputs/stored expect=no_loss
  attn-compare outputs/try split=test"""
