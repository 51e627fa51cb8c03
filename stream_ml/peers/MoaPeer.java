import com.yahoo.labs.samoa.instances.DenseInstance;
import com.yahoo.labs.samoa.instances.Instance;
import com.yahoo.labs.samoa.instances.Instances;
import com.yahoo.labs.samoa.instances.InstancesHeader;
import com.yahoo.labs.samoa.instances.Prediction;
import com.yahoo.labs.samoa.instances.Range;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.StringReader;
import java.util.Arrays;
import moa.classifiers.MultiLabelLearner;
import moa.core.InstanceExample;
import moa.options.ClassOption;

/**
 * Tests, then trains, a MOA multi-label learner on rows that come on standard input.
 *
 * Arguments: class of the learner (with its options), number of labels, then the number of values of each feature (0:
 * numeric). Input: the number of rows of a batch, then a line per row, `mode|label label|index:value ...` (mode bit 1: predict, bit 2: train;
 * values that are not named are 0, NaN is missing). Output: a line per row, the labels predicted.
 */
public class MoaPeer {
    public static void main(String[] arguments) throws Exception {
        int labels = Integer.parseInt(arguments[1]);
        int features = arguments.length - 2;
        StringBuilder text = new StringBuilder("@relation peer\n");
        for (int i = 0; i < labels; i++) {
            text.append("@attribute l").append(i).append(" {0,1}\n");
        }
        for (int j = 0; j < features; j++) {
            int values = Integer.parseInt(arguments[2 + j]);
            text.append("@attribute x").append(j).append(' ');
            if (values == 0) {
                text.append("numeric\n");
            } else {
                text.append('{');
                for (int v = 0; v < values; v++) {
                    text.append(v > 0 ? "," : "").append('v').append(v);
                }
                text.append("}\n");
            }
        }
        text.append("@data\n");
        InstancesHeader header =
            new InstancesHeader(new Instances(new StringReader(text.toString()), new Range("1-" + labels)));
        MultiLabelLearner learner =
            (MultiLabelLearner) ClassOption.cliStringToObject(arguments[0], MultiLabelLearner.class, null);
        learner.setModelContext(header);
        learner.prepareForUse();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in), 1 << 16);
        PrintStream out = new PrintStream(System.out, false);
        System.setOut(System.err); // what a learner prints is no answer
        for (String count = in.readLine(); count != null; count = in.readLine()) {
            StringBuilder answers = new StringBuilder(); // told when all rows were read: neither side waits for the other
            for (int row = Integer.parseInt(count); row > 0; row--) {
                String[] parts = in.readLine().split("\\|", -1);
                int mode = Integer.parseInt(parts[0]);
                double[] values = new double[labels + features];
                for (String cell : parts[2].isEmpty() ? new String[0] : parts[2].split(" ")) {
                    int colon = cell.indexOf(':');
                    String value = cell.substring(colon + 1);
                    values[labels + Integer.parseInt(cell.substring(0, colon))] =
                        value.equals("nan") ? Double.NaN : Double.parseDouble(value);
                }
                answers.append((mode & 1) != 0 ? predicted(learner, instance(values, header), labels) : "").append('\n');
                if ((mode & 2) != 0) {
                    for (String label : parts[1].isEmpty() ? new String[0] : parts[1].split(" ")) {
                        values[Integer.parseInt(label)] = 1.0;
                    }
                    learner.trainOnInstance(new InstanceExample(instance(values, header)));
                }
            }
            out.print(answers);
            out.flush();
        }
    }

    private static Instance instance(double[] values, InstancesHeader header) {
        Instance instance = new DenseInstance(1.0, Arrays.copyOf(values, values.length));
        instance.setDataset(header);
        return instance;
    }

    private static String predicted(MultiLabelLearner learner, Instance instance, int labels) {
        Prediction prediction = learner.getPredictionForInstance(new InstanceExample(instance));
        StringBuilder answer = new StringBuilder();
        for (int i = 0; prediction != null && i < labels; i++) {
            if (i >= prediction.numOutputAttributes() || !prediction.hasVotesForAttribute(i)) {
                continue;
            }
            double[] votes = prediction.getVotes(i);
            boolean positive = votes.length == 1 ? votes[0] >= 0.5 : votes.length > 1 && votes[1] > votes[0];
            if (positive) {
                answer.append(answer.length() > 0 ? " " : "").append(i);
            }
        }
        return answer.toString();
    }
}
