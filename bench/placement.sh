#!/bin/sh
# bench/placement - the placement layer: time of a decision, quality against other policies, against the exact optimum;
# SVG plots into build/bench-data. usage: bench/placement.sh [place|quality|optimum]...   (CASES=1000 SECONDS_A_CASE=2 NODES=250 SEEDS=3)
. "$(dirname "$0")/lib.sh" 2>/dev/null
P=${BIN:-$TOP/build/release/bin}/../bench
[ $# -gt 0 ] || set -- place quality optimum
facts
plot() {                        # plot NAME: its gnuplot commands from stdin, the picture into $WORK/NAME.svg
	command -v gnuplot >/dev/null || { echo "plot $1: skipped, gnuplot is not installed (gnuplot-nox)"; cat >/dev/null; return 0; }
	{ echo "set terminal svg size 720,440 font 'sans,11' background 'white'; set output '$WORK/$1.svg'; set grid; set key left top"; cat; } | gnuplot &&
		echo "plot: $WORK/$1.svg"
}
for what; do
	echo "== $what"
	case $what in
	place)
		"$P/place" -d "$WORK/place.dat" || exit 1
		plot placement-time <<-END
			set logscale x; set xlabel 'workers'; set ylabel 'ns for place + complete'; set yrange [0:*]
			plot '$WORK/place.dat' using 1:2 with linespoints lw 2 title 'median', '' using 1:4 with linespoints lw 2 title 'mean of a whole run', \
			     500 with lines dt 2 lc rgb 'gray' title 'target at 10,000', 1000 with lines dt 3 lc rgb 'gray' title 'target at 100,000'
		END
		;;
	quality)
		"$P/quality" -n "${NODES:-250}" -s "${SEEDS:-3}" -d "$WORK/quality.dat" || exit 1
		for f in mean:2 p99:3; do
			plot "placement-quality-${f%:*}" <<-END
				set xlabel 'load of the cores'; set ylabel '${f%:*} response over that of the full scan'; set yrange [0:*]; set key outside right
				plot for [i=0:7] '$WORK/quality.dat' using 1:(column(${f#*:} + 2 * i)) with linespoints lw 2 title word("lib/place scan scan+others icecream-like emptiest two-choices random lib/place-blind", i + 1)
			END
		done
		;;
	optimum)
		command -v cbc >/dev/null || { echo "optimum: skipped, cbc is not installed (coinor-cbc)"; continue; }
		"$P/optimum" -n "${CASES:-1000}" -s "${SECONDS_A_CASE:-2}" || exit 1
		;;
	*) echo "usage: bench/placement.sh [place|quality|optimum]..." >&2; exit 2 ;;
	esac
done
