// Runs features one by one and prints each as `feature<TAB>works`, or with what failed; exits with how many failed.
// A feature works when what it gives is true.
export async function run(features) {
  let failed = 0;
  for (const [name, tried] of Object.entries(features)) {
    let outcome = "works";
    try {
      if (!(await tried())) throw new Error("empty");
    } catch (error) {
      outcome = `fails: ${String(error.message).replaceAll(/\s+/g, " ").slice(0, 600)}`;
      failed += 1;
    }
    console.log(`${name}\t${outcome}`);
  }
  process.exit(failed);
}
