// Validates resources of FHIR R4, one a line on standard input, against the base profiles that the `fhir`
// package holds. Exit code 0: all are valid, and one that was broken on purpose is not.
import { readFileSync } from 'node:fs';
import fhir from 'fhir';

const checker = new fhir.Fhir();
const faults = (resource) => checker.validate(resource, { errorOnUnexpected: true }).messages ?? [];
const resources = readFileSync(0, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
let bad = 0;
for (const resource of resources) {
  for (const fault of faults(resource)) {
    console.log(`${resource.type?.display}: ${fault.location} ${fault.message}`);
    bad += 1;
  }
}
const broken = { ...resources[0], outcome: '7' };
delete broken.recorded;
if (faults(broken).length < 2) {
  console.log('the validator lets everything pass');
  bad += 1;
}
console.log(`${resources.length} resources`);
process.exit(bad === 0 && resources.length > 0 ? 0 : 1);
