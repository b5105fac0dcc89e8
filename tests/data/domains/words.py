import sys
from collections import Counter


class WordCount:
    """Counts the words of files, without those that are too short."""

    def __init__(self, shortest=3):
        self.shortest = shortest
        self.counts = Counter()

    def read(self, path):
        with open(path, encoding="utf-8") as file:
            for line in file:
                words = [word.strip(".,;:!?").lower() for word in line.split()]
                self.counts.update(word for word in words if len(word) >= self.shortest)

    def most_common(self, n):
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:n]


def main(paths):
    count = WordCount()
    for path in paths:
        try:
            count.read(path)
        except OSError as error:
            print(f"{path}: {error}", file=sys.stderr)
    for word, times in count.most_common(10):
        print(f"{times:6d}  {word}")


if __name__ == "__main__":
    main(sys.argv[1:])
