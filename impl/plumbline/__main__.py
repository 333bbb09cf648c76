"""``python -m plumbline``: the command without its script."""

from plumbline.command import main

if __name__ == "__main__":
    main()
