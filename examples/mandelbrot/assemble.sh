#!/bin/sh
# assemble.sh DIR N - DIR/0/frame.ppm to DIR/(N-1)/frame.ppm as movie.mp4; without ffmpeg as movie.ppm, frame after frame
set -eu
frames() {
	i=0
	while [ "$i" -lt "$2" ]; do
		cat "$1/$i/frame.ppm"
		i=$((i + 1))
	done
}
if command -v ffmpeg >/dev/null; then
	frames "$1" "$2" | ffmpeg -v error -y -f image2pipe -c:v ppm -framerate 24 -i - -pix_fmt yuv420p movie.mp4
else
	frames "$1" "$2" >movie.ppm
fi
