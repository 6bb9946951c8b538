// A file that is appended to and flushed: whoever comes while a flush is under way shares the next one.
import { open } from 'node:fs/promises';

export class Journal {
  static async open(path) {
    const journal = new Journal();
    journal.file = await open(path, 'w', 0o600);
    Object.assign(journal, { records: [], waiting: [], flushing: false, unsettled: 0, written: 0 });
    return journal;
  }

  // Durable when it resolves.
  append(record) {
    this.records.push(record, '\n');
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      if (!this.flushing) this.flush();
    });
  }

  async flush() {
    this.flushing = true;
    while (this.waiting.length) {
      const waiting = this.waiting, text = this.records.join('');
      this.waiting = [];
      this.records = [];
      try {
        const { bytesWritten } = await this.file.write(text, this.written);
        this.written += bytesWritten;
        await this.file.datasync();
        for (const { resolve } of waiting) resolve();
      } catch (error) {
        for (const { reject } of waiting) reject(error);
      }
    }
    this.flushing = false;
  }

  begin() { this.unsettled += 1; }

  // What was committed need not be kept; the file is emptied when nothing else stands in it.
  async settle(count) {
    this.unsettled -= count;
    if (this.unsettled > 0 || this.flushing) return;
    this.flushing = true; // nothing is written meanwhile
    this.written = 0;
    await this.file.truncate(0);
    this.flushing = false;
    if (this.waiting.length) this.flush();
  }
}
